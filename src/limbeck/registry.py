"""The closed set of names that a recipe may use, and the objects they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from limbeck.errors import ArgumentError, suggest

__all__ = ["Entry", "lookup", "names", "register"]

T = TypeVar("T")

_entries: dict[str, dict[str, Any]] = {}


class Entry:
    """Annotates an option that a recipe fills with a number, or with ``{use: NAME, …}`` of one of these kinds.

    >>> from typing import Annotated
    >>> weight = Annotated[float | Callable[[int], float], Entry("schedule")]
    """

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds


def register(kind: str, name: str) -> Callable[[T], T]:
    """Enter the decorated object under a kind ("loss", "model", "source", …) and a name.

    A definition that is executed again (a plugin that is loaded twice, a cell of a notebook) replaces itself.

    Raises:
        ArgumentError: if the name is already taken by another object.

    >>> @register("example", "one")
    ... def one() -> int:
    ...     return 1
    >>> lookup("example", "one")()
    1
    """

    def enter(entry: T) -> T:
        entries = _entries.setdefault(kind, {})
        if name in entries and _origin(entries[name]) != _origin(entry):
            raise ArgumentError(f"the {kind} {name!r} is registered already, by {entries[name]!r}; choose another name")
        entries[name] = entry
        return entry

    return enter


def _origin(entry: Any) -> tuple[Any, ...]:
    origin = getattr(entry, "__module__", None), getattr(entry, "__qualname__", None)
    return (id(entry),) if None in origin else origin


def lookup(kind: str, name: str) -> Any:
    """The object registered under this kind and name.

    Raises:
        ArgumentError: if there is none; the message has the nearest known name.
    """
    entries = _entries.get(kind, {})
    if name not in entries:
        raise ArgumentError(f"no {kind} {name!r}.{suggest(name, entries)}")
    return entries[name]


def names(kind: str) -> tuple[str, ...]:
    """All names registered under a kind, sorted."""
    return tuple(sorted(_entries.get(kind, {})))
