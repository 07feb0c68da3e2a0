"""What is called on teachers, and the parts of them; an error in it names the teacher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from limbeck.errors import ArgumentError, LimbeckError

__all__ = ["naming_teacher", "parts_by_teacher"]


@contextmanager
def naming_teacher(name: str) -> Iterator[None]:
    """Name the teacher in every error, also in one that its own code raises.

    >>> with naming_teacher("double"):
    ...     {}["logits"]
    Traceback (most recent call last):
    limbeck.errors.ArgumentError: teacher 'double' failed: KeyError: 'logits'
    """
    try:
        yield
    except LimbeckError as error:
        error.path = f"teachers.{name}"
        error.add_note(f"in the teacher {name!r}")
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ArgumentError(
            f"teacher {name!r} failed: {type(error).__name__}: {reason}", code="failed", path=f"teachers.{name}"
        ) from error


def parts_by_teacher(method: str, teachers: Mapping[str, object]) -> list[tuple[str, Any]]:
    """The teachers and the modules inside them that have a method, each once with the first teacher that has it."""
    owners: dict[Any, str] = {}
    for name, teacher in teachers.items():
        for part in _parts(teacher):
            if hasattr(part, "reads") and hasattr(part, method):
                owners.setdefault(part, name)
    return [(name, part) for part, name in owners.items()]


def _parts(teacher: object) -> Iterable[object]:
    return teacher.modules() if isinstance(teacher, nn.Module) else (teacher,)
