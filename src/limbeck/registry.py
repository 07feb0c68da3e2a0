"""The closed set of names that a recipe may use, and the objects they stand for.

The package's own entries are listed in ``registry.json``, which `make index` writes: their names are known without
importing anything, and `lookup` imports the one module that defines the entry. Plugins register more entries when they
are run; distributions add theirs through the entry point group ``limbeck``, under names of the form ``kind.name``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from limbeck.errors import ArgumentError, suggest

__all__ = [
    "INDEX_FILE",
    "Entry",
    "Registry",
    "kinds",
    "lookup",
    "name_of",
    "names",
    "read_index",
    "register",
    "registered_by",
    "temporary",
]

T = TypeVar("T")
Index: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""For each kind and name the description of the entry; its ``module`` defines it."""

INDEX_FILE = Path(__file__).with_name("registry.json")
_PACKAGE = "limbeck."
_ENTRY_POINTS = "limbeck"


class Entry:
    """Annotates an option that a recipe fills with a number, or with ``{use: NAME, …}`` of one of these kinds.

    >>> from typing import Annotated
    >>> weight = Annotated[float | Callable[[int], float], Entry("schedule")]
    """

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds


class Registry:
    """Entries by kind and name.

    Args:
        index: gives the entries that are known without being imported.
        points: gives the entry points of other distributions, named ``kind.name``.
    """

    def __init__(
        self,
        index: Callable[[], Index] = dict,
        points: Callable[[], Mapping[tuple[str, str], EntryPoint]] = dict,
    ) -> None:
        self._index = index
        self._points = points
        self._entries: dict[str, dict[str, Any]] = {}

    def register(self, kind: str, name: str) -> Callable[[T], T]:
        """Enter the decorated object under a kind ("loss", "model", "source", …) and a name.

        A definition that is executed again (a plugin that is loaded twice, a cell of a notebook) replaces itself.

        Raises:
            ArgumentError: if the name is already taken by another object.

        >>> registry = Registry()
        >>> @registry.register("example", "one")
        ... def one() -> int:
        ...     return 1
        >>> registry.lookup("example", "one")()
        1
        """

        def enter(entry: T) -> T:
            entries = self._entries.setdefault(kind, {})
            if name in entries and _origin(entries[name]) != _origin(entry):
                raise _taken(kind, name, repr(entries[name]))
            indexed = self._index().get(kind, {}).get(name)
            if indexed is not None and not _is_of_package(entry):
                raise _taken(kind, name, indexed["module"])
            entries[name] = entry
            return entry

        return enter

    def lookup(self, kind: str, name: str) -> Any:
        """The object registered under this kind and name. The module that defines it is imported if need be.

        Raises:
            ArgumentError: if there is none; the message has the nearest known name.
        """
        entries = self._entries.setdefault(kind, {})
        if name in entries:
            return entries[name]
        indexed, point = self._index().get(kind, {}).get(name), self._points().get((kind, name))
        if indexed is not None and point is not None:
            raise _taken(kind, name, indexed["module"])
        if indexed is not None:
            _import(kind, name, indexed["module"])
        elif point is not None:
            entries.setdefault(name, point.load())
        if name not in entries:
            raise ArgumentError(
                f"no {kind} {name!r}.{suggest(name, self.names(kind))}", code="unknown_name", path="name"
            )
        return entries[name]

    def name_of(self, kind: str, entry: Any) -> str | None:
        """The name under which an object is registered, None if it is not.

        >>> Registry().name_of("example", object())
        """
        known = self._entries.get(kind, {})
        return next((name for name, other in known.items() if _origin(other) == _origin(entry)), None)

    def names(self, kind: str) -> tuple[str, ...]:
        """All names of a kind, sorted: those of the index, of plugins and of entry points."""
        points = {name for other, name in self._points() if other == kind}
        return tuple(sorted({*self._index().get(kind, {}), *self._entries.get(kind, {}), *points}))

    def kinds(self) -> tuple[str, ...]:
        """All kinds, sorted."""
        known = {*self._index(), *self._entries, *(kind for kind, _ in self._points())}
        return tuple(sorted(kind for kind in known if self.names(kind)))

    def registered_by(self, prefix: str) -> list[tuple[str, str]]:
        """Kind and name of the imported entries whose module has a name with this prefix, sorted."""
        return sorted(
            (kind, name)
            for kind, entries in self._entries.items()
            for name, entry in entries.items()
            if str(_origin(entry)[0]).startswith(prefix)
        )

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Forget, at the end of the block, the entries from outside the package that were registered in it.

        >>> from fractions import Fraction
        >>> registry = Registry()
        >>> with registry.temporary():
        ...     _ = registry.register("example", "two")(Fraction)
        >>> "two" in registry.names("example")
        False
        """
        before = {kind: dict(entries) for kind, entries in self._entries.items()}
        try:
            yield
        finally:
            for kind, entries in self._entries.items():
                for name, entry in list(entries.items()):
                    # A module of the package is imported once: its entries would never come back.
                    if name not in before.get(kind, {}) and not _is_of_package(entry):
                        del entries[name]


def _import(kind: str, name: str, module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        message = f"the {kind} {name!r} is no longer in {module}; write the index again: make index"
        raise ArgumentError(message, code="failed") from None


def _origin(entry: Any) -> tuple[Any, ...]:
    origin = getattr(entry, "__module__", None), getattr(entry, "__qualname__", None)
    return (id(entry),) if None in origin else origin


def _is_of_package(entry: Any) -> bool:
    return str(_origin(entry)[0]).startswith(_PACKAGE)


def _taken(kind: str, name: str, owner: str) -> ArgumentError:
    return ArgumentError(
        f"the {kind} {name!r} is registered already, by {owner}; choose another name", code="in_use", path="name"
    )


@cache
def read_index() -> dict[str, Any]:
    """The content of ``registry.json``: ``sections`` of a recipe and ``kinds`` of entries, with their options."""
    content: dict[str, Any] = json.loads(INDEX_FILE.read_text(encoding="utf-8"))
    return content


def _indexed() -> Index:
    index: Index = read_index()["kinds"]
    return index


@cache
def _installed() -> Mapping[tuple[str, str], EntryPoint]:
    points: dict[tuple[str, str], EntryPoint] = {}
    for point in entry_points(group=_ENTRY_POINTS):
        kind, dot, name = point.name.partition(".")
        if not dot or not name:
            raise ArgumentError(
                f"the entry point {point.name!r} of the group {_ENTRY_POINTS!r} has no kind; "
                "name it kind.name, such as loss.mine",
                code="missing",
            )
        points[kind, name] = point
    return points


_registry = Registry(_indexed, _installed)
register = _registry.register
lookup = _registry.lookup
name_of = _registry.name_of
names = _registry.names
kinds = _registry.kinds
registered_by = _registry.registered_by
temporary = _registry.temporary
