"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["FinishedRun", "Json", "Overrides", "Plugin", "Recipe"]

FinishedRun = Annotated[Path, typer.Argument(help="The folder of a finished run.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON and nothing else.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="A value to set, such as train.epochs=5. Repeatable.")
]
Plugin = Annotated[Path | None, typer.Option(help="A Python file that registers your own entries.")]
Recipe = Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in recipe.")]
