"""The commands of caches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from limbeck.cli.failures import error_object, print_error
from limbeck.cli.options import Json, Overrides, Plugin, Recipe
from limbeck.errors import ArgumentError, CacheError

__all__ = ["cache"]

cache = typer.Typer(
    name="cache", help="Outputs of frozen teachers on disk: build, verify, show or remove them.", add_completion=False
)

_CacheOrRecipe = Annotated[str, typer.Argument(help="The folder of a cache, or a recipe.")]
_Output = Annotated[
    Path | None, typer.Option(help="The folder of the caches, each in a subfolder of its teacher's name.")
]


@cache.command()
def build(
    recipe: Recipe,
    set_: Overrides = None,
    output: _Output = None,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n processes that build together, from 0.")] = "0/1",
    plugin: Plugin = None,
    json_: Json = False,
) -> None:
    """Write what is missing or damaged in the caches of a recipe's teachers; train teachers that are not trained yet.

    Example: limbeck cache build recipe.yaml
    """
    from limbeck.api_cache import build as build_caches
    from limbeck.training.progress import progress_for_terminal

    part, progress = _part(shard), progress_for_terminal()
    _print(
        build_caches(recipe, overrides=set_ or (), output=output, part=part, plugin=plugin, progress=progress), json_
    )


@cache.command()
def verify(
    place: _CacheOrRecipe,
    set_: Overrides = None,
    output: _Output = None,
    sample: Annotated[int, typer.Option(help="The number of entries that the teacher computes again.")] = 256,
    plugin: Plugin = None,
    json_: Json = False,
) -> None:
    """Check every shard and, for a recipe, compute some entries again. Exits with 2 if anything is wrong.

    Example: limbeck cache verify recipe.yaml
    """
    from limbeck.api_cache import refuse_faults
    from limbeck.api_cache import verify as verify_caches

    caches = verify_caches(place, overrides=set_ or (), output=output, sample=sample, plugin=plugin)
    try:
        refuse_faults(caches)
    except CacheError as error:
        if not json_:
            _print(caches, json_)
            raise
        # The caches and the error are one JSON object.
        _print(caches, json_, error)
        print_error(str(error))
        raise typer.Exit(2) from None
    _print(caches, json_)


@cache.command()
def info(
    place: _CacheOrRecipe, set_: Overrides = None, output: _Output = None, plugin: Plugin = None, json_: Json = False
) -> None:
    """Show what caches hold: fields, codecs with their measured error, bytes, and what they were made from.

    Example: limbeck cache info recipe.yaml
    """
    from limbeck.api_cache import info as describe_caches

    _print(describe_caches(place, overrides=set_ or (), output=output, plugin=plugin), json_)


@cache.command()
def remove(folder: Annotated[Path, typer.Argument(help="The folder of one cache, as `cache info` shows it.")]) -> None:
    """Remove a cache; the next run or build that needs it writes it again.

    Example: limbeck cache remove runs/.caches/teacher
    """
    from limbeck.api_cache import remove as remove_cache

    removed = remove_cache(folder)
    print(f"removed {removed['folder']}, {removed['bytes']:,} bytes")


def _part(shard: str) -> tuple[int, int]:
    number, slash, parts = shard.partition("/")
    if not slash or not number.isdecimal() or not parts.isdecimal() or not int(number) < int(parts):
        raise ArgumentError(f"--shard is {shard!r}; write i/n with i from 0 to n - 1, such as 0/4", path="--shard")
    return int(number), int(parts)


def _print(caches: list[dict[str, Any]], as_json: bool, error: CacheError | None = None) -> None:
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return
    if as_json:
        failed = {} if error is None else {"error": error_object(error, str(error))}
        print(json.dumps({"schema": 1, "caches": caches, **failed}))
        return
    from limbeck.api_cache import described

    print("\n\n".join(map(described, caches)))
