"""The closed set of names that a recipe may use, and the objects they stand for.

The package's own entries are listed in ``registry.json``, which `make index` writes: their names are known without
importing anything, and `lookup` imports the one module that defines the entry. Plugins register more entries when they
are run; distributions add theirs through the entry point group ``limbeck``, under names of the form ``kind.name``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

from limbeck.errors import ArgumentError, suggest

__all__ = [
    "INDEX_FILE",
    "Capabilities",
    "Entry",
    "Needs",
    "Registered",
    "Registry",
    "capabilities",
    "kinds",
    "lookup",
    "name_of",
    "names",
    "read_index",
    "register",
    "registered",
    "temporary",
]

T = TypeVar("T")
Index: TypeAlias = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""For each kind and name the descriptions of its entries: ``module`` defines it, ``capabilities`` may be stated."""

INDEX_FILE = Path(__file__).with_name("registry.json")
# What an entry reads that does not say so.
_INPUTS = {"model": ("images", "tables"), "tokenizer": ("texts",)}
_PACKAGE = "limbeck."
_ENTRY_POINTS = "limbeck"


class Entry:
    """Annotates an option that a recipe fills with a number, or with ``{use: NAME, …}`` of one of these kinds.

    >>> from typing import Annotated
    >>> weight = Annotated[float | Callable[[int], float], Entry("schedule")]
    """

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds


@dataclass(frozen=True)
class Needs:
    """What a task needs of a model, or a model of a tokenizer.

    Args:
        inputs: what a row of the task may be; an entry must read one of them.
        per: what a model must give one label for: each ``"row"``, ``"word"`` or ``"token"``.
        by: who needs it, for errors.
    """

    inputs: tuple[str, ...]
    per: str = "row"
    by: str = "this task"


@dataclass(frozen=True)
class Capabilities:
    """What an entry can be used for.

    Args:
        inputs: what it reads, such as ``images``, ``tables`` or ``texts``; empty for kinds that read no rows.
        per: what it gives one label for: each ``row``, ``word`` or ``token``.
        pretrained: whether it comes with weights.

    >>> print(Capabilities(("texts",), ("row", "word"), pretrained=True))
    for texts; one label per text or per word; comes with weights
    """

    inputs: tuple[str, ...]
    per: tuple[str, ...] = ("row",)
    pretrained: bool = False

    @classmethod
    def of_index(cls, described: Mapping[str, Any]) -> Self:
        """Those of an entry of the index."""
        stated = described.get("capabilities") or {"inputs": (), "per": ("row",), "pretrained": False}
        return cls(tuple(stated["inputs"]), tuple(stated["per"]), stated["pretrained"])

    def fits(self, needs: Needs | None) -> bool:
        """Whether it can be used where this is needed; None is nothing."""
        return needs is None or self.overlaps(Capabilities(needs.inputs, (needs.per,)))

    def overlaps(self, other: Capabilities) -> bool:
        """Whether one task could use both."""
        same_inputs = self.inputs == other.inputs or not {*self.inputs}.isdisjoint(other.inputs)
        return same_inputs and not {*self.per}.isdisjoint(other.per)

    def __str__(self) -> str:
        row = self.inputs[0].removesuffix("s") if len(self.inputs) == 1 else "row"
        labels = " or ".join(f"per {row if per == 'row' else per}" for per in self.per)
        parts = {
            f"for {' or '.join(self.inputs)}": bool(self.inputs),
            f"one label {labels}": self.per != ("row",),
            "comes with weights": self.pretrained,
        }
        return "; ".join(part for part, is_said in parts.items() if is_said)


class Registered(NamedTuple):
    """One entry, with what it can be used for."""

    kind: str
    name: str
    entry: Any
    capabilities: Capabilities


class Registry:
    """Entries by kind, name and capabilities: a name may have several entries of a kind, if no task could use two.

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
        self._entries: list[Registered] = []

    def register(
        self,
        kind: str,
        name: str,
        *,
        inputs: str | tuple[str, ...] = (),
        per: str | tuple[str, ...] = "row",
        pretrained: bool = False,
    ) -> Callable[[T], T]:
        """Enter the decorated object under a kind ("loss", "model", "source", …) and a name.

        A definition that is executed again (a plugin that is loaded twice, a cell of a notebook) replaces itself.

        Args:
            kind: of the entry.
            name: as recipes use it.
            inputs: what a model or tokenizer reads; by default a model reads images and tables, a tokenizer texts.
            per: what a model gives one label for: each ``"row"``, ``"word"`` or ``"token"``. The constructor of one
                that can do both may have a parameter ``per_word``, which the task supplies.
            pretrained: whether a model comes with weights, and is trained only if its section says so.

        Raises:
            ArgumentError: if the name is already taken by another object that the same task could use, or a teacher
                has no ``section`` by which a recipe could name it.

        >>> registry = Registry()
        >>> @registry.register("example", "one")
        ... def one() -> int:
        ...     return 1
        >>> registry.lookup("example", "one")()
        1
        """
        own = Capabilities(_tuple(inputs) or _INPUTS.get(kind, ()), _tuple(per), pretrained)

        def enter(entry: T) -> T:
            _check_teacher(kind, name, entry)
            others = [other for other in self.registered(kind, name) if other.capabilities.overlaps(own)]
            taken = [other for other in others if _origin(other.entry) != _origin(entry)]
            if taken:
                raise _taken(kind, name, repr(taken[0].entry))
            indexed = [one["module"] for one in self._indexed(kind, name) if Capabilities.of_index(one).overlaps(own)]
            if indexed and not _is_of_package(entry):
                raise _taken(kind, name, indexed[0])
            self._entries = [other for other in self._entries if other not in others]
            self._entries.append(Registered(kind, name, entry, own))
            return entry

        return enter

    def lookup(self, kind: str, name: str, needs: Needs | None = None) -> Any:
        """The object registered under this kind and name that has what is needed.

        The module that defines it is imported if need be.

        Raises:
            ArgumentError: if there is none; the message has the nearest known name, or what the entries of this name
                can do.
        """
        if not any(one.capabilities.fits(needs) for one in self.registered(kind, name)):
            indexed = [one["module"] for one in self._indexed(kind, name) if Capabilities.of_index(one).fits(needs)]
            point = self._points().get((kind, name))
            if indexed and point is not None:
                raise _taken(kind, name, indexed[0])
            if indexed:
                _import(kind, name, indexed[0])
            elif point is not None:
                entry = point.load()
                if not self.registered(kind, name):
                    self.register(kind, name)(entry)
        found = next((one for one in self.registered(kind, name) if one.capabilities.fits(needs)), None)
        if found is None:
            raise self._missing(kind, name, needs)
        return found.entry

    def _missing(self, kind: str, name: str, needs: Needs | None) -> ArgumentError:
        known, described = self.names(kind, needs), self.capabilities(kind, name)
        if needs is None or not described:
            return ArgumentError(f"no {kind} {name!r}.{suggest(name, known)}", code="unknown_name", path="name")
        reads = dict.fromkeys(part for one in described for part in one.inputs)
        gives = dict.fromkeys(part for one in described if {*one.inputs} & {*needs.inputs} for part in one.per)
        reason = f"reads {' and '.join(reads)}; {needs.by} needs {' or '.join(needs.inputs)}"
        if gives:
            reason = f"gives one label per {' or per '.join(gives)}; {needs.by} needs one per {needs.per}"
        listed = ", ".join(map(repr, known)) or "none"
        return ArgumentError(f"{kind} {name!r} {reason}. Known: {listed}.", code="unsupported", path="name")

    def name_of(self, kind: str, entry: Any) -> str | None:
        """The name under which an object is registered, None if it is not.

        >>> Registry().name_of("example", object())
        """
        known = (one for one in self._entries if one.kind == kind)
        return next((one.name for one in known if _origin(one.entry) == _origin(entry)), None)

    def names(self, kind: str, needs: Needs | None = None) -> tuple[str, ...]:
        """The names of a kind that have what is needed, sorted: those of the index, of plugins and of entry points."""
        points = {name for other, name in self._points() if other == kind}
        known = {*self._index().get(kind, {}), *(one.name for one in self._entries if one.kind == kind), *points}
        return tuple(sorted(name for name in known if needs is None or self.capabilities(kind, name, needs)))

    def capabilities(self, kind: str, name: str, needs: Needs | None = None) -> tuple[Capabilities, ...]:
        """What the entries of this name that have what is needed can be used for.

        That of an entry point is known once it is loaded.
        """
        known = [Capabilities.of_index(one) for one in self._indexed(kind, name)]
        known += [one.capabilities for one in self.registered(kind, name)]
        if not known and (kind, name) in self._points():
            known = [Capabilities(_INPUTS.get(kind, ()))]
        return tuple(one for one in dict.fromkeys(known) if one.fits(needs))

    def kinds(self) -> tuple[str, ...]:
        """All kinds, sorted."""
        known = {*self._index(), *(one.kind for one in self._entries)}
        return tuple(sorted(known | {kind for kind, _ in self._points()}))

    def registered(self, kind: str | None = None, name: str | None = None) -> list[Registered]:
        """The imported entries of a kind and a name; of all where these are None."""
        return [one for one in self._entries if kind in (None, one.kind) and name in (None, one.name)]

    def _indexed(self, kind: str, name: str) -> Sequence[Mapping[str, Any]]:
        return self._index().get(kind, {}).get(name, ())

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
        before = {(one.kind, one.name, one.capabilities) for one in self._entries}
        try:
            yield
        finally:
            # A module of the package is imported once: its entries would never come back.
            known = ((one, (one.kind, one.name, one.capabilities)) for one in self._entries)
            self._entries = [one for one, key in known if key in before or _is_of_package(one.entry)]


def _check_teacher(kind: str, name: str, entry: Any) -> None:
    """Refuse a teacher of a plugin that no recipe could name."""
    if kind == "teacher" and not _is_of_package(entry) and not isinstance(getattr(entry, "section", None), str):
        raise ArgumentError(
            f"the teacher {name!r} has no `section`, the key by which a recipe names it; add section = {name!r} to the "
            f"class, for models: {{NAME: {{{name}: …}}}}, and if it reads other models a class method needs(options) "
            "that returns their names, such as (options['teacher'],)",
            code="missing",
            path="section",
        )


def _tuple(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


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
                path=point.name,
            )
        points[kind, name] = point
    return points


_registry = Registry(_indexed, _installed)
register = _registry.register
lookup = _registry.lookup
name_of = _registry.name_of
names = _registry.names
capabilities = _registry.capabilities
kinds = _registry.kinds
registered = _registry.registered
temporary = _registry.temporary
