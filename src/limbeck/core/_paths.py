"""How a tap names a place in a model."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from limbeck.errors import ArgumentError

__all__ = ["split_path"]

_input = ":input"
_shown = 8


def split_path(path: str, modules: Collection[str]) -> tuple[str, str]:
    """The module that a tap's path names, and what of it: ``"output"`` or ``"input"``.

    Raises:
        ArgumentError: if there is no such module; the message names the nearest.

    >>> split_path("layer.0", ["", "layer", "layer.0"]), split_path("layer.0:input", ["", "layer", "layer.0"])
    (('layer.0', 'output'), ('layer.0', 'input'))
    """
    if path in modules:
        return path, "output"
    module = path.removesuffix(_input)
    if module not in modules:
        raise ArgumentError(
            f"the model has no module {module!r}.{_nearest(path, modules)}", code="unknown_name", path="path"
        )
    return module, "input"


def _nearest(path: str, modules: Collection[str]) -> str:
    places = [*modules, *(module + _input for module in modules)] if ":" in path else modules
    near = difflib.get_close_matches(path, places, n=1)
    return f" Did you mean {near[0]!r}?" if near else _inside(path, modules)


def _inside(path: str, modules: Collection[str]) -> str:
    """What stands in the last module on the way that there is: all modules of a large model are too many to list."""
    way = path
    while way not in modules:
        way = way.rpartition(".")[0]
    names = [module for module in modules if module and module.rpartition(".")[0] == way]
    shown = ", ".join(map(repr, names[:_shown])) + (", …" if len(names) > _shown else "")
    return f" {'The model' if not way else repr(way)} has {shown}." if names else ""
