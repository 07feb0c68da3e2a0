"""The application: every command, and where it starts."""

from __future__ import annotations

import sys

import typer

from limbeck.cli import methods, recipes, runs
from limbeck.cli.cache import cache
from limbeck.cli.failures import run_guarded
from limbeck.cli.negative_rows import guarded

__all__ = ["app", "main"]

app = typer.Typer(
    name="limbeck",
    help="Distil a model you trust into a small one you can ship, and measure what was kept and lost.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--debug, anywhere on the line, shows the traceback of an error.",
)

for _command in (
    runs.run,
    runs.resume,
    runs.report,
    recipes.recipes,
    runs.predict,
    methods.methods,
    recipes.taps,
):
    app.command()(_command)
app.add_typer(cache)


def main() -> None:
    """Run a command; an error is one line, with ``--json`` one JSON object too, and exit code 2."""
    # Taken out by hand, so that it may stand before or after the command.
    debug = "--debug" in sys.argv
    words = [word for word in sys.argv if word != "--debug"]
    sys.argv = guarded(words) if len(words) > 1 else [*words, "--help"]
    run_guarded(app, debug, "--json" in words)
