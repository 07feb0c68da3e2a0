"""Sections of a recipe that are the options of one constructor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from limbeck.errors import RecipeError
from limbeck.recipes.options import construct, resolve_options
from limbeck.training.settings import Settings

__all__ = ["resolve_section", "resolve_train"]


def resolve_section(settings: Callable[..., Any], given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The options of a constructor with every default written out, and such that it takes them.

    Raises:
        RecipeError: with the place in the recipe.
    """
    options = resolve_options(settings, given, path=path, name=path)
    construct(settings, options, path=path)
    return options


def resolve_train(given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A section ``train``, and the last stage in it.

    Raises:
        RecipeError: with the place in the recipe.
    """
    options = resolve_section(Settings, given, path)
    changed = options["finetune"]
    if changed is not None:
        if changed.get("finetune") is not None:
            raise RecipeError(f"{path}.finetune.finetune: there is one last stage; remove it")
        if changed.get("seed", options["seed"]) != options["seed"]:
            raise RecipeError(f"{path}.finetune.seed: the last stage has the seed of the stage before; remove it")
        options["finetune"] = resolve_section(Settings, {**options, "finetune": None, **changed}, f"{path}.finetune")
    return options
