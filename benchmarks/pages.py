"""Where a benchmark writes what it found: between two lines of a page."""

from __future__ import annotations

from pathlib import Path

from limbeck.errors import ArgumentError
from limbeck.files import write_text

__all__ = ["write_section"]


def write_section(file: Path, name: str, text: str) -> None:
    """Put the text between the two markers of this name.

    Raises:
        ArgumentError: if the file does not hold both markers, once and in order.
    """
    page = file.read_text(encoding="utf-8")
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(first)
    _, ended, after = rest.partition(last)
    if not found or not ended:
        raise ArgumentError(f"{file} has no part between {first!r} and {last!r}; write these two lines where it goes")
    write_text(file, f"{before}{first}\n{text}\n{last}{after}")
