"""A reader of a made-up format: a line is `key=value; key=value`, and `%` begins a comment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from limbeck.data.readers import InvalidRow, Position, Record
from limbeck.registry import register


@register("reader", "pairs")
class Pairs:
    """Rows of a file of `key=value; key=value` lines.

    Args:
        file: the file of the training rows.
        comment: begins a line that is no row.
    """

    def __init__(self, *, file: str, comment: str = "%") -> None:
        self.file = file
        self.comment = comment

    def records(self) -> Mapping[str, Iterator[tuple[Position, Record | InvalidRow]]]:
        return {"train": self._rows(Path(self.file))}

    def _rows(self, path: Path) -> Iterator[tuple[Position, Record | InvalidRow]]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.startswith(self.comment):
                continue
            parts = [part.split("=", 1) for part in line.split("; ")]
            position = Position(str(path), number)
            whole = all(len(part) == 2 for part in parts)
            yield position, dict(parts) if whole else InvalidRow(f"{line!r} is not `key=value; key=value`")
