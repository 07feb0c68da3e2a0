"""What can go wrong, and the sentence that says how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AddressError",
    "ArgumentError",
    "CacheError",
    "DataError",
    "DivergedError",
    "ExportError",
    "LimbeckError",
    "RecipeError",
    "RunError",
    "suggest",
]


class LimbeckError(Exception):
    """The root of every error that limbeck raises on purpose. Its text is one line."""


class ArgumentError(LimbeckError, ValueError):
    """An argument that cannot be right: a wrong shape, a temperature of 0, an unknown name."""


class AddressError(LimbeckError, LookupError):
    """An address that names nothing on the board."""


class RecipeError(LimbeckError):
    """A recipe that cannot be run."""


class DataError(LimbeckError):
    """A data source that is missing, corrupt, or holds values that no model can learn from."""


class RunError(LimbeckError):
    """A run folder, a stage or a checkpoint that cannot be used."""


class CacheError(LimbeckError):
    """Teacher outputs on disk that cannot be written, are damaged, or belong to another teacher or other data."""


class DivergedError(LimbeckError):
    """A training loss that is no longer a finite number."""


class ExportError(LimbeckError):
    """An exported file that does not compute what its model computes."""


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of an error on an unknown name: the nearest known one, or all of them.

    >>> suggest("teachr", ["student", "teacher"])
    " Did you mean 'teacher'?"
    >>> suggest("x", ["student", "teacher"])
    " Known: 'student', 'teacher'."
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Known: {', '.join(map(repr, names))}." if names else ""
