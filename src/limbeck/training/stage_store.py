"""Finished stages, shared by all runs under one folder."""

from __future__ import annotations

import fcntl
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from limbeck.files import file_hash, held, write_json

__all__ = ["StageStore"]

_manifest = "stage.json"


class StageStore:
    """A folder of finished stages by key. A stage is complete, with a checksum for each file, or not there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> Path | None:
        """The folder of a finished stage; None if there is none or one of its files is damaged."""
        folder = self.root / key
        try:
            recorded = json.loads((folder / _manifest).read_text(encoding="utf-8"))["files"]
            whole = all(file_hash(folder / name) == digest for name, digest in recorded.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return folder if whole else None

    def drop(self, key: str) -> None:
        """Forget a stage."""
        shutil.rmtree(self.root / key, ignore_errors=True)

    def publish(
        self, key: str, name: str, write: Callable[[Path], None], *, kind: str = "train", seed: int | None = None
    ) -> Path:
        """Let ``write`` fill a new folder, and make it the finished stage of this key.

        Args:
            key: the hash of everything that the stage reads.
            name: of the stage.
            write: fills a new folder.
            kind: of the stage, such as ``train``.
            seed: of its random draws; None if it draws nothing.
        """
        beside = self.root / f".{key}.{uuid.uuid4().hex}.tmp"
        with self._claimed(beside):
            try:
                write(beside)
                files = {path.name: file_hash(path) for path in sorted(beside.iterdir())}
                stage = {"schema": 1, "key": key, "name": name, "kind": kind, "seed": seed, "files": files}
                write_json(beside / _manifest, stage)
                return self._settle(beside, self.root / key)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise

    def sweep(self) -> None:
        """Remove what killed processes were filling, and nothing that a living one fills."""
        if not self.root.is_dir():
            return
        with held(self.root):
            for left in self.root.glob(".*.tmp"):
                with suppress(BlockingIOError), held(left, fcntl.LOCK_NB):
                    shutil.rmtree(left)

    @contextmanager
    def _claimed(self, folder: Path) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as claim:
            # While the root is held, nobody sweeps between making the folder and holding it.
            with held(self.root):
                folder.mkdir()
                claim.enter_context(held(folder))
            yield

    def _settle(self, beside: Path, folder: Path) -> Path:
        if folder.exists() and self.find(folder.name) is None:
            shutil.rmtree(folder)
        try:
            beside.rename(folder)
        except OSError:
            # Another process has finished the same stage meanwhile: both are the same.
            if self.find(folder.name) is None:
                raise
            shutil.rmtree(beside)
        return folder
