"""Sections of a recipe that are the options of one constructor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, TypeVar

from limbeck.errors import RecipeError
from limbeck.recipes.options import construct, resolve_options
from limbeck.training.settings import Settings

__all__ = ["parse_section", "parse_train", "resolve_section"]

T = TypeVar("T")


def resolve_section(settings: Callable[..., Any], given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The options of a constructor with every default written out, and such that it takes them.

    Raises:
        RecipeError: with the place in the recipe.
    """
    options = resolve_options(settings, given, path=path, name=path)
    construct(settings, options, path=path)
    return options


def parse_section(settings: Callable[..., T], given: Mapping[str, Any], path: str) -> T:
    """What a constructor makes of a section.

    Raises:
        RecipeError: with the place in the recipe.
    """
    options = resolve_options(settings, given, path=path, name=path)
    parsed: T = construct(settings, options, path=path)
    return parsed


def parse_train(given: Mapping[str, Any], path: str) -> Settings:
    """The settings of a section ``train``, with those of the last stage in it.

    Raises:
        RecipeError: with the place in the recipe.
    """
    settings = parse_section(Settings, given, path)
    changed = settings.finetune
    if changed is None:
        return settings
    if changed.get("finetune") is not None:
        raise RecipeError.at(f"{path}.finetune.finetune", "there is one last stage; remove it", code="unsupported")
    if changed.get("seed", settings.seed) != settings.seed:
        raise RecipeError.at(
            f"{path}.finetune.seed", "the last stage has the seed of the stage before; remove it", code="unsupported"
        )
    last = parse_section(Settings, {**asdict(settings), "finetune": None, **changed}, f"{path}.finetune")
    return replace(settings, finetune=asdict(last))
