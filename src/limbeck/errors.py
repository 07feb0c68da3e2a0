"""The errors of limbeck: a message for people, a code and a place for programs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal, Self, get_args

__all__ = [
    "CODES",
    "AddressError",
    "ArgumentError",
    "CacheError",
    "Code",
    "DataError",
    "DivergedError",
    "ExportError",
    "LimbeckError",
    "RecipeError",
    "RunError",
    "located",
    "suggest",
]

# docs/errors.md has the same table for users.
Code = Literal[
    "unknown_name",  # no entry, option, column or file entry has this name
    "missing",  # something that is required is not given
    "not_found",  # a file or folder does not exist
    "not_installed",  # a package is not installed
    "wrong_type",  # a value of another type or form than expected
    "wrong_shape",  # an array of another shape than expected
    "out_of_range",  # a value of the right type that is not allowed
    "not_finite",  # a NaN or an infinity
    "too_few",  # fewer rows, classes or models than needed
    "duplicate",  # one thing is given or named twice
    "conflict",  # two settings exclude each other
    "mismatch",  # two things that must agree differ
    "unsupported",  # this model, data or device cannot do it
    "no_effect",  # the setting would change nothing
    "cycle",  # things need each other in a circle
    "not_ready",  # something else has to be done first
    "in_use",  # a name, folder or object is taken already
    "unreadable",  # a file cannot be read or parsed
    "unwritable",  # a file or folder cannot be written or removed
    "damaged",  # a file can be read, and part of it is lost or wrong
    "invalid_row",  # a row of a data set cannot be used
    "changed",  # a file was made by another version or under other conditions
    "failed",  # code of a plugin or a library raised an error
]

CODES: frozenset[str] = frozenset(get_args(Code))


class LimbeckError(Exception):
    """The root of every error that limbeck raises on purpose. Its text is one line.

    Args:
        message: what is wrong, where, what was expected, what to do.
        code: the kind of fault, one of `CODES`; that of the class by default.
        path: where the fault is: a place in the recipe (``models.student.width``), a file with its row or column, a
            run folder, or the argument of a function. None where there is no such place.

    >>> error = ArgumentError("k is 0; expected at least 1", path="k")
    >>> error.code, error.path, str(error)
    ('out_of_range', 'k', 'k is 0; expected at least 1')
    """

    default_code: ClassVar[Code] = "failed"

    code: Code
    path: str | None

    def __init__(self, message: str, *, code: Code | None = None, path: object = None) -> None:
        super().__init__(message)
        self.code = self.default_code if code is None else code
        if self.code not in CODES:
            raise ValueError(f"no error code {self.code!r}.{suggest(str(self.code), CODES)}")
        self.path = None if path is None else str(path)

    @classmethod
    def at(cls, path: object, message: str, *, code: Code | None = None) -> Self:
        """An error whose text begins with its place, if it has one.

        >>> str(RecipeError.at("train.epochs", "expected an integer", code="wrong_type"))
        'train.epochs: expected an integer'
        """
        return cls(f"{path}: {message}" if path else message, code=code, path=path or None)


class ArgumentError(LimbeckError, ValueError):
    """An argument that cannot be right: a wrong shape, a temperature of 0, an unknown name."""

    default_code = "out_of_range"


class AddressError(LimbeckError, LookupError):
    """An address that names nothing on the board."""

    default_code = "unknown_name"


class RecipeError(LimbeckError):
    """A recipe that cannot be run."""

    default_code = "unsupported"


class DataError(LimbeckError):
    """A data source that is missing, corrupt, or holds values that no model can learn from."""

    default_code = "damaged"


class RunError(LimbeckError):
    """A run folder, a stage or a checkpoint that cannot be used."""

    default_code = "unreadable"


class CacheError(LimbeckError):
    """Teacher outputs on disk that cannot be written, are damaged, or belong to another teacher or other data."""

    default_code = "damaged"


class DivergedError(LimbeckError):
    """A training loss that is no longer a finite number."""

    default_code = "not_finite"


class ExportError(LimbeckError):
    """An exported file that does not compute what its model computes."""

    default_code = "mismatch"


@contextmanager
def located(place: str) -> Iterator[None]:
    """Put the name of what is checked before the place of an error in it.

    >>> try:
    ...     with located("terms.soft"):
    ...         raise ArgumentError("a mask is torch.bool", path="where")
    ... except ArgumentError as error:
    ...     error.path
    'terms.soft.where'
    """
    try:
        yield
    except LimbeckError as error:
        error.path = place if error.path is None else f"{place}.{error.path}"
        raise


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
