"""From the name of a predictor to the function."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from limbeck.errors import RunError
from limbeck.export.predictors.prediction import Prediction
from limbeck.export.session import Session
from limbeck.plugins import load_plugin

__all__ = ["Predictor", "resolve_predictor"]

Predictor: TypeAlias = Callable[[Sequence[str], Sequence[str], Path, Session], list[Prediction]]


def resolve_predictor(name: str, plugin: Path | None = None) -> Predictor:
    """The function that a name means.

    Args:
        name: as ``"module:function"``.
        plugin: a Python file that is run if there is no such module.

    Raises:
        RunError: if there is no such module or function.
        RecipeError: if the plugin is missing or fails.

    >>> resolve_predictor("limbeck.export.predictors.rows:predict").__module__
    'limbeck.export.predictors.rows'
    """
    module, _, function = name.partition(":")
    predict = getattr(_module(module, plugin), function, None)
    if not callable(predict):
        raise RunError(
            f"the predictor {name!r}: the module {module} has no function {function!r}; name another one",
            code="unknown_name",
        )
    found: Predictor = predict
    return found


def _module(name: str, plugin: Path | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that is there, but lacks another one, is no matter of plugins.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
    if plugin is not None:
        load_plugin(plugin)
        if name in sys.modules:
            return sys.modules[name]
    beside = "the run has no plugin" if plugin is None else f"the plugin {plugin} does not define it"
    raise RunError(
        f"the predictor's module {name} is not installed, and {beside}; install what the run was made with",
        code="not_installed",
    )
