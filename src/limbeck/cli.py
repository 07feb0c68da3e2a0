"""The command line. It imports torch only where a command needs it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from limbeck.cli_cache import cache
from limbeck.errors import LimbeckError, RecipeError

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

app.add_typer(cache)

_stopped = 130
_make_room = "make room, then go on with `limbeck resume RUN`, or give the command again"
# safetensors and torch write in native code; what the disk refuses, they tell in classes of their own.
_unwritten = ("(os error 27)", "(os error 28)", "(os error 122)", "unexpected pos", "PytorchStreamWriter failed")

_Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON and nothing else.")]


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in recipe.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="A value, as in train.epochs=5. Repeatable.")] = None,
    output: Annotated[Path | None, typer.Option(help="The folder of the run.")] = None,
    plugin: Annotated[Path | None, typer.Option(help="A Python file that registers your own entries.")] = None,
    fresh: Annotated[bool, typer.Option(help="Train anew what an earlier run has finished.")] = False,
    json_: _Json = False,
) -> None:
    """Train teacher, control and student; measure, export and report them."""
    from limbeck.api import run as start
    from limbeck.training.progress import progress_for_terminal

    progress = progress_for_terminal()
    path = start(recipe, overrides=set_ or (), output=output, plugin=plugin, fresh=fresh, progress=progress)
    _conclude(path, json_)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a run that was ended.")],
    inexact: Annotated[bool, typer.Option(help="Go on although torch, device, threads or processes differ.")] = False,
    json_: _Json = False,
) -> None:
    """Go on with a run; it ends with the same weights as one that was never ended."""
    from limbeck.api import resume as go_on
    from limbeck.training.progress import progress_for_terminal

    _conclude(go_on(run, inexact=inexact, progress=progress_for_terminal()), json_)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="The folder of a finished run.")]) -> None:
    """Write the report and the model card of a run again."""
    from limbeck.report import write_model_card, write_report

    print(write_report(run))
    print(write_model_card(run))


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to print; `schema`; or `check`, with a file.")] = None,
    file: Annotated[str | None, typer.Argument(help="With `check`: the recipe to check.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="With `check`: a value. Repeatable.")] = None,
    plugin: Annotated[Path | None, typer.Option(help="With `check`: a Python file with your own entries.")] = None,
) -> None:
    """List the built-in recipes, print one, print what a recipe may say, or check one."""
    from limbeck.recipes.read import builtin_names, builtin_text, recipe_text

    if name == "check":
        if file is None:
            raise RecipeError("`recipes check` needs a recipe file, as in: limbeck recipes check recipe.yaml")
        from limbeck.api import check

        print(recipe_text(check(file, overrides=set_ or (), plugin=plugin)), end="")
    elif file is not None or plugin is not None or set_:
        raise RecipeError(f"`recipes {name}` takes no more; a file, values and a plugin go with `recipes check`")
    elif name == "schema":
        from limbeck.recipes.catalogue import describe

        print(json.dumps(describe(), indent=1))
    elif name is None:
        print("\n".join(builtin_names()))
    else:
        print(builtin_text(name), end="")


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    inputs: Annotated[list[str], typer.Argument(help="Texts; or files of images.")],
    pair: Annotated[list[str] | None, typer.Option(help="The second text of a pair. Repeatable.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Take the file with weights in 8 bits.")] = False,
    json_: _Json = False,
) -> None:
    """Classes and probabilities of new inputs, by the file that a run ships."""
    from limbeck.recipes.prediction import predictions

    said = predictions(run, inputs, pairs=pair or [], int8=int8)
    if json_:
        print(json.dumps([one.found for one in said], ensure_ascii=False))
        return
    for given, one in zip(inputs, said, strict=True):
        print(f"{one.line}  {given}")


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="An entry to explain.")] = None, json_: _Json = False
) -> None:
    """List everything that a recipe may `use`, losses by the knowledge they transfer, or explain one entry."""
    from limbeck.recipes.catalogue import as_json, explain, listing

    if json_:
        print(json.dumps(as_json(name), ensure_ascii=False, indent=1))
    elif name is None:
        print(listing())
    else:
        print(explain(name, width=min(shutil.get_terminal_size().columns, 100)))


@app.command()
def taps(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in recipe.")],
    plugin: Annotated[Path | None, typer.Option(help="A Python file that registers your own entries.")] = None,
    json_: _Json = False,
) -> None:
    """List the modules of a recipe's models, and the layers that `taps: auto` would pair."""
    from limbeck.api import taps as look
    from limbeck.recipes.survey import survey_text

    found = look(recipe, plugin=plugin)
    print(json.dumps(found) if json_ else survey_text(found))


def _conclude(path: Path, as_json: bool) -> None:
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return
    results = json.loads((path / "results.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(results))
        return
    from rich.console import Console

    from limbeck.report import summary_table, summary_text

    console = Console()
    if console.is_terminal:
        console.print(summary_table(results))
    else:
        print(summary_text(results))
    print(f"\n{results['verdict']}\n")
    print(f"report  {path / 'report.html'}")
    if results["export"] is not None:
        exported = results["export"]
        print(f"model   {path / exported['file']}  (max |difference| to PyTorch {exported['max_difference']:.1e})")


def main() -> None:
    """Run a command; what goes wrong is one line and exit code 2."""
    # Taken out by hand, so that it may stand before or after the command.
    debug = "--debug" in sys.argv
    words = [word for word in sys.argv if word != "--debug"]
    sys.argv = words if len(words) > 1 else [*words, "--help"]
    _guarded(app, debug)


def _guarded(command: Callable[..., Any], debug: bool) -> None:
    try:
        code = command(standalone_mode=False)
        if code == _stopped:
            # The parser has caught it, and said nothing.
            raise KeyboardInterrupt
        sys.stdout.flush()
    except LimbeckError as error:
        _fail(str(error), debug)
    except KeyboardInterrupt:
        _fail("stopped; `limbeck resume RUN` goes on from the last checkpoint", debug, code=_stopped)
    except BrokenPipeError:
        # `limbeck methods | head`: nobody reads on. What is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(_told(error), debug)
    except Exception as error:
        # The parser's errors have a class that older versions of typer keep elsewhere.
        if hasattr(error, "format_message"):
            _fail(f"{error.format_message().rstrip('.')}; see limbeck --help", debug)
        if not any(sign in str(error) for sign in _unwritten):
            raise
        _fail(f"cannot write: {error}; the disk may be full: {_make_room}", debug)
    else:
        sys.exit(code)


def _told(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"cannot write: {error.strerror}{place}; {_make_room}"
    return f"{error.strerror or error}{place}"


def _fail(message: str, debug: bool, code: int = 2) -> None:
    if debug:
        traceback.print_exc()
    print(f"limbeck: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
