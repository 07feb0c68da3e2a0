"""The folder of one run: its files, and the lock that keeps a second process out."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from limbeck.errors import RunError

__all__ = ["RunFolder", "new_folder"]


class RunFolder:
    """Names of everything in a run (DESIGN §7)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    def stage_events(self, stage: str, seed: int) -> Path:
        """The events of one training, which `events` joins with those of the others."""
        return self.path / "events" / f"{stage}-seed{seed}.jsonl"

    @property
    def results(self) -> Path:
        return self.path / "results.json"

    @property
    def statistics(self) -> Path:
        """The statistics of test rows, by which metrics and intervals can be computed again."""
        return self.path / "statistics.npz"

    @property
    def stages(self) -> Path:
        return self.path.parent / ".stages"

    def checkpoints(self, stage: str) -> Path:
        return self.path / "checkpoints" / stage

    def model(self, name: str) -> Path:
        return self.path / "models" / name

    def export(self, name: str) -> Path:
        return self.path / "export" / f"{name}.onnx"

    def sweep(self) -> None:
        """Remove what a killed process was writing: files beside the ones they were to become."""
        for left in self.path.rglob(".*.tmp"):
            left.unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run; released when the block ends or the process dies.

        Raises:
            RunError: if another process holds it.
        """
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(
                    f"the run {self.path} is in use by another process; wait for it or stop it",
                    code="in_use",
                    path=self.path,
                ) from error
            yield
        finally:
            os.close(descriptor)


@contextmanager
def new_folder(paths: Iterator[Path], *, exclusive: bool) -> Iterator[RunFolder]:
    """Create the folder of a run. If the block fails, the folder and the files in it are removed.

    Args:
        paths: candidates; the first that no other run has created is taken.
        exclusive: whether the folder must not exist yet.

    Raises:
        RunError: if it cannot be made or written.
    """
    path, new = _claim(paths, exclusive=exclusive)
    folder = RunFolder(path)
    try:
        yield folder
    except BaseException as error:
        for file in (folder.environment, folder.recipe):
            with suppress(OSError):
                file.unlink()
        _remove(new)
        if isinstance(error, OSError):
            raise _unmade(path, error) from error
        raise


def _claim(paths: Iterator[Path], *, exclusive: bool) -> tuple[Path, list[Path]]:
    """The folder, made, and which folders are new, inner first."""
    while True:
        path = next(paths)
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            path.mkdir(parents=True, exist_ok=not exclusive)
        except OSError as error:
            if isinstance(error, FileExistsError) and exclusive and path.exists():
                continue
            _remove(new)
            raise _unmade(path, error) from error
        return path, new


def _remove(folders: Sequence[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _unmade(path: Path, error: OSError) -> RunError:
    return RunError(
        f"cannot make the run {path}: {error.strerror}; choose another --output", code="unwritable", path=path
    )
