"""The command methods."""

from __future__ import annotations

import json
import shutil
from typing import Annotated

import typer

from limbeck.cli.options import Json, Plugin

__all__ = ["methods"]


def methods(
    name: Annotated[str | None, typer.Argument(help="An entry to explain.")] = None,
    plugin: Plugin = None,
    json_: Json = False,
) -> None:
    """List everything that a recipe may `use`, or explain one entry.

    Example: limbeck methods kl_divergence
    """
    from limbeck.plugins import load_plugin
    from limbeck.recipes.catalogue import as_json, explain, listing

    if plugin is not None:
        load_plugin(plugin)
    if json_:
        print(json.dumps(as_json(name), ensure_ascii=False, indent=1))
    elif name is None:
        print(listing())
    else:
        print(explain(name, width=min(shutil.get_terminal_size().columns, 100)))
