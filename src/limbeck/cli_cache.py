"""The commands of caches. They import torch only when they run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from limbeck.errors import ArgumentError

__all__ = ["cache"]

cache = typer.Typer(
    name="cache", help="What frozen teachers say, kept on disk: build, verify, show, remove.", add_completion=False
)

_Recipe = Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in recipe.")]
_Place = Annotated[str, typer.Argument(help="The folder of a cache, or a recipe.")]
_Set = Annotated[list[str] | None, typer.Option("--set", help="A value, as in cache.views=4. Repeatable.")]
_Plugin = Annotated[Path | None, typer.Option(help="A Python file that registers your own entries.")]
_Output = Annotated[Path | None, typer.Option(help="Where the caches lie, each under its teacher's name.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON and nothing else.")]


@cache.command()
def build(
    recipe: _Recipe,
    set_: _Set = None,
    output: _Output = None,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n processes that build side by side, from 0.")] = "0/1",
    plugin: _Plugin = None,
    json_: _Json = False,
) -> None:
    """Write what is missing or damaged of the caches of a recipe's teachers; train those that are not trained yet."""
    from limbeck.api_cache import build as start
    from limbeck.training.progress import progress_for_terminal

    part = _part(shard)
    _print(
        start(recipe, overrides=set_ or (), output=output, part=part, plugin=plugin, progress=progress_for_terminal()),
        json_,
    )


@cache.command()
def verify(
    place: _Place,
    set_: _Set = None,
    output: _Output = None,
    sample: Annotated[int, typer.Option(help="How many entries the teacher is asked for again.")] = 256,
    plugin: _Plugin = None,
    json_: _Json = False,
) -> None:
    """Check every shard; for a recipe, also ask its teachers again. Exits with 2 if anything is wrong."""
    from limbeck.api_cache import refuse_faults
    from limbeck.api_cache import verify as look

    found = look(place, overrides=set_ or (), output=output, sample=sample, plugin=plugin)
    _print(found, json_)
    refuse_faults(found)


@cache.command()
def info(
    place: _Place, set_: _Set = None, output: _Output = None, plugin: _Plugin = None, json_: _Json = False
) -> None:
    """Show what caches hold: fields, codecs with their measured error, bytes, and what they were made from."""
    from limbeck.api_cache import info as look

    _print(look(place, overrides=set_ or (), output=output, plugin=plugin), json_)


@cache.command()
def remove(folder: Annotated[Path, typer.Argument(help="The folder of one cache, as info shows it.")]) -> None:
    """Remove a cache; the next run or build that needs it writes it again."""
    from limbeck.api_cache import remove as start

    found = start(folder)
    print(f"removed {found['folder']}, {found['bytes']:,} bytes")


def _part(shard: str) -> tuple[int, int]:
    number, slash, parts = shard.partition("/")
    if not slash or not number.isdecimal() or not parts.isdecimal() or not int(number) < int(parts):
        raise ArgumentError(f"--shard is {shard!r}; write i/n with i from 0 to n - 1, as in 0/4")
    return int(number), int(parts)


def _print(found: list[dict[str, Any]], as_json: bool) -> None:
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return
    if as_json:
        print(json.dumps({"schema": 1, "caches": found}))
        return
    from limbeck.api_cache import described

    print("\n\n".join(map(described, found)))
