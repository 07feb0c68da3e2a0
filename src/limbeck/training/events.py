"""The log of one training: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from limbeck.files import atomic

__all__ = ["EventLog", "join_events"]


class EventLog:
    """Appends the events of one training to a file of its own.

    `position` is stored in every checkpoint; `cut` goes back to one.

    Args:
        path: of the file; it may exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def position(self) -> int:
        """The number of bytes written."""
        return self.path.stat().st_size

    def cut(self, position: int) -> None:
        """Remove what was written past a position."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        with self.path.open("rb+") as file:
            # Never beyond its end: that would fill the gap with zeros.
            file.truncate(min(position, self.position))

    def write(self, event: dict[str, Any]) -> None:
        """Append one event."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, allow_nan=False) + "\n")

    def replace(self, lines: bytes) -> None:
        """Take the events of the same training from another run."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _write(self.path, lines)

    def written(self) -> bytes:
        """Everything that was written."""
        return self.path.read_bytes()


def join_events(file: Path, logs: Iterable[EventLog]) -> None:
    """Write the events of several trainings into one file, one training after the other."""
    _write(file, b"".join(log.written() for log in logs))


def _write(file: Path, lines: bytes) -> None:
    # A finished run that is resumed stays as it is.
    if not file.exists() or file.read_bytes() != lines:
        with atomic(file) as beside:
            beside.write_bytes(lines)
