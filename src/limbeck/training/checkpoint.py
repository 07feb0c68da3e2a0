"""Checkpoints: enough to go on in the middle of an epoch, whole or not there."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limbeck.errors import RunError
from limbeck.files import atomic, file_hash

__all__ = ["Checkpoints", "random_state", "restore_random_state"]

_schema = 1
_digest_bytes = hashlib.sha256().digest_size


class Checkpoints:
    """The folder of one stage: the last K checkpoints, and the best weights so far.

    A file holds tensors, numbers and strings only, and is read with ``weights_only=True`` after its checksums.
    """

    def __init__(self, folder: Path, *, key: str, keep: int) -> None:
        self.folder = folder
        self.key = key
        self.keep = keep

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Write the state after a step, then drop all but the latest K, and what lies beyond this step.

        Only checkpoints of another stage lie beyond: of a run that went on with another plugin, say.
        """
        path = self.folder / f"step-{step:08d}.pt"
        self._write(path, {**state, "step": step})
        saved = self._saved()
        end = saved.index(path) + 1
        for other in (*saved[: max(end - self.keep, 0)], *saved[end:]):
            other.unlink()
        return path

    def save_best(self, state: Mapping[str, Any]) -> None:
        """Write the weights of the best epoch so far over those of the best before."""
        self._write(self.folder / "best.pt", state)

    def _write(self, path: Path, state: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic(path) as beside:
            torch.save({"schema": _schema, "key": self.key, **state}, beside)
            # torch.load looks at no checksum, so a flipped bit would be a weight like any other. It reads the archive
            # from its directory and leaves alone what follows.
            digest = bytes.fromhex(file_hash(beside))
            with beside.open("ab") as file:
                file.write(digest)

    def latest(self) -> dict[str, Any] | None:
        """The newest checkpoint of this very stage; None if there is none.

        Raises:
            RunError: if it cannot be read.
        """
        states = map(self._read, reversed(self._saved()))
        return next((state for state in states if state["key"] == self.key), None)

    def best(self) -> dict[str, Any]:
        """The best weights.

        Raises:
            RunError: if they cannot be read.
        """
        return self._read(self.folder / "best.pt")

    @property
    def newest(self) -> Path | None:
        """The path of the newest checkpoint."""
        saved = self._saved()
        return saved[-1] if saved else None

    def _saved(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            _check_digest(path)
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            found = state["schema"]
        except Exception as error:  # damaged bytes fail in whichever operation they happen to spell
            reason = str(error).partition("\n")[0]
            raise RunError(
                f"the checkpoint {path} cannot be read ({reason}); remove it to go on from the one before",
                code="unreadable",
                path=path,
            ) from error
        if found != _schema:
            raise RunError(
                f"the checkpoint {path} has schema {found}; this version reads {_schema}", code="changed", path=path
            )
        return state


def _check_digest(path: Path) -> None:
    content = path.read_bytes()
    if hashlib.sha256(content[:-_digest_bytes]).digest() != content[-_digest_bytes:]:
        raise ValueError("it is cut short or damaged")


def random_state() -> dict[str, Any]:
    """The state of every random generator that training may draw from, as tensors and numbers."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, numbers, following = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "python": [version, list(numbers), following],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put every generator back to where `random_state` found it."""
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, numbers, following = state["python"]
    random.setstate((version, tuple(numbers), following))
    # An inexact resume may find fewer devices, or none.
    for number, cuda in zip(range(torch.cuda.device_count()), state.get("cuda", ()), strict=False):
        torch.cuda.set_rng_state(cuda, number)
