"""Rows of numbers that begin with a minus sign, which a parser of options would take for options."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["guarded", "unguarded"]

# No user types it, and no option begins with it.
_guard = "\x00"
_number = re.compile(r"-\.?\d")


def guarded(words: Sequence[str]) -> list[str]:
    """The words of a command line, with those of the command ``predict`` guarded that begin with a negative number.

    >>> unguarded(guarded(["limbeck", "predict", "run", "-1.5,2", "--json"]))
    ['limbeck', 'predict', 'run', '-1.5,2', '--json']
    """
    if "predict" not in words[1:2]:
        return list(words)
    return [f"{_guard}{word}" if _number.match(word) else word for word in words]


def unguarded(words: Sequence[str]) -> list[str]:
    """The words as they were given."""
    return [word.removeprefix(_guard) for word in words]
