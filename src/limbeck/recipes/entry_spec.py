"""A registered entry with its options, as a recipe uses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from limbeck.recipes.options import construct, lookup, resolve_use

__all__ = ["EntrySpec", "parse_entry"]


@dataclass(frozen=True)
class EntrySpec:
    """``{use: NAME, **options}`` with every default written out.

    Args:
        kinds: of the registry, in which the name is looked up.
        name: of the entry.
        options: of its constructor.
        path: where the recipe has it, for errors.
    """

    kinds: tuple[str, ...]
    name: str
    options: Mapping[str, Any]
    path: str

    @property
    def entry(self) -> Any:
        """The constructor."""
        return lookup(self.kinds, self.name, self.path)

    def build(self, supplied: Mapping[str, Any] = MappingProxyType({})) -> Any:
        """What the constructor makes of the options.

        Args:
            supplied: values for the entries in the options, of parameters that no recipe gives.

        Raises:
            RecipeError: if the constructor refuses an option.
        """
        return construct(self.entry, self.options, path=self.path, supplied=supplied)

    def to_dict(self) -> dict[str, Any]:
        """As a recipe has it."""
        return {"use": self.name, **self.options}


def parse_entry(
    kinds: Sequence[str], section: Any, path: str, supplied: Collection[str] = (), beside: Collection[str] = ()
) -> EntrySpec:
    """The entry of a section ``{use: NAME, **options}``, or NAME alone; arguments as of `resolve_use`.

    Raises:
        RecipeError: if the section is neither, or what it says cannot be right.

    >>> import limbeck.core
    >>> parse_entry(["schedule"], {"use": "constant", "value": 2}, "weight").build()(0)
    2.0
    """
    options = resolve_use(kinds, section, path, supplied, beside)
    return EntrySpec(tuple(kinds), options.pop("use"), options, path)
