"""The commands about recipes: recipes, taps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.options import Json, Overrides, Plugin, Recipe
from limbeck.errors import RecipeError

__all__ = ["recipes", "taps"]


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to print, `schema`, or `check` with a file.")] = None,
    file: Annotated[str | None, typer.Argument(help="With `check`: the recipe to check.")] = None,
    set_: Overrides = None,
    plugin: Plugin = None,
) -> None:
    """List the built-in recipes, print one, print what a recipe may contain, or check one.

    Example: limbeck recipes check recipe.yaml
    """
    if name == "check":
        _check(file, set_ or (), plugin)
    elif file is not None or set_ or (plugin is not None and name != "schema"):
        raise RecipeError(
            f"`recipes {name}` takes no more; a file, values and a plugin go with `recipes check`", code="conflict"
        )
    elif name == "schema":
        _print_schema(plugin)
    else:
        _print_builtin(name)


def _check(file: str | None, overrides: Sequence[str], plugin: Path | None) -> None:
    if file is None:
        raise RecipeError(
            "`recipes check` needs a recipe file, as in: limbeck recipes check recipe.yaml", code="missing", path="file"
        )
    from limbeck.api import check
    from limbeck.recipes.read import recipe_text

    print(recipe_text(check(file, overrides=overrides, plugin=plugin)), end="")


def _print_schema(plugin: Path | None) -> None:
    from limbeck.plugins import load_plugin
    from limbeck.recipes.catalogue import describe

    if plugin is not None:
        load_plugin(plugin)
    print(json.dumps(describe(), indent=1))


def _print_builtin(name: str | None) -> None:
    from limbeck.recipes.read import builtin_names, builtin_text

    print("\n".join(builtin_names()) if name is None else builtin_text(name).removesuffix("\n"))


def taps(recipe: Recipe, plugin: Plugin = None, json_: Json = False) -> None:
    """List the modules of a recipe's models, and the layers that `taps: auto` would pair.

    Example: limbeck taps digits
    """
    from limbeck.api import taps as list_taps
    from limbeck.runs.list_taps import taps_text

    survey = list_taps(recipe, plugin=plugin)
    print(json.dumps(survey) if json_ else taps_text(survey))
