"""The commands of runs: run, resume, report, predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.negative_rows import unguarded
from limbeck.cli.options import FinishedRun, Json, Overrides, Plugin, Recipe

__all__ = ["predict", "report", "resume", "run"]


def run(
    recipe: Recipe,
    set_: Overrides = None,
    output: Annotated[Path | None, typer.Option(help="The folder of the run.")] = None,
    plugin: Plugin = None,
    fresh: Annotated[bool, typer.Option(help="Train again what an earlier run has finished.")] = False,
    json_: Json = False,
) -> None:
    """Train teacher, control and student; measure, export and report them.

    Example: limbeck run digits --set train.epochs=5
    """
    from limbeck.api import run as run_recipe
    from limbeck.training.progress import progress_for_terminal

    progress = progress_for_terminal()
    path = run_recipe(recipe, overrides=set_ or (), output=output, plugin=plugin, fresh=fresh, progress=progress)
    _print_results(path, json_)


def resume(
    run: Annotated[Path, typer.Argument(help="The folder of an interrupted run.")],
    inexact: Annotated[bool, typer.Option(help="Continue even if torch, device, threads or processes differ.")] = False,
    json_: Json = False,
) -> None:
    """Continue an interrupted run; its weights are those of an uninterrupted one.

    Example: limbeck resume runs/digits-20260101-120000
    """
    from limbeck.api import resume as resume_run
    from limbeck.training.progress import progress_for_terminal

    _print_results(resume_run(run, inexact=inexact, progress=progress_for_terminal()), json_)


def report(run: FinishedRun) -> None:
    """Write the report and the model card of a run again.

    Example: limbeck report runs/digits-20260101-120000
    """
    from limbeck.report import write_model_card, write_report

    print(write_report(run))
    print(write_model_card(run))


def predict(
    run: FinishedRun,
    inputs: Annotated[list[str], typer.Argument(help="Texts, image files, or rows as 1.5,-2,red.")],
    pair: Annotated[list[str] | None, typer.Option(help="The second text of a pair. Repeatable.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Use the file with weights in 8 bits.")] = False,
    json_: Json = False,
) -> None:
    """Predict new inputs with the exported file of a run.

    Put -- before inputs of which one begins with a dash; a row that begins with a negative number needs none.

    Example: limbeck predict runs/digits-20260101-120000 image.png
    """
    from limbeck.runs.prediction import predictions

    inputs = unguarded(inputs)
    results = predictions(run, inputs, pairs=unguarded(pair or []), int8=int8)
    if json_:
        print(json.dumps([prediction.found for prediction in results], ensure_ascii=False))
        return
    for given, prediction in zip(inputs, results, strict=True):
        print(f"{prediction.line}  {given}")


def _print_results(path: Path, as_json: bool) -> None:
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
