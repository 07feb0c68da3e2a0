"""A run as one HTML page that opens offline."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from limbeck.report import per_run, sections
from limbeck.report.files import Run, read_run, write_text
from limbeck.report.markup import text

__all__ = ["write_report"]


def write_report(run: Path) -> Path:
    """Write report.html of a run: verdict, table, charts, recipe and environment in one file that loads nothing.

    Args:
        run: a run folder that holds results.json, events.jsonl, recipe.yaml and environment.json.

    Returns:
        The path of the page, which is written whole or not at all.

    Raises:
        RunError: if a file is missing, unreadable or cannot be written; the message names it.
    """
    return write_text(run / "report.html", _page(read_run(run)))


def _page(run: Run) -> str:
    results = run.results
    parts = (
        sections.summary(results),
        sections.differences(results),
        per_run.learning(run.events, results),
        sections.costs(results),
        per_run.calibration(results),
        per_run.confusion(results),
        per_run.recipe(run),
        per_run.environment(run),
    )
    return Template(_asset("template.html")).substitute(
        title=text(f"{results.recipe}: limbeck report"),
        css=_asset("report.css"),
        header=sections.header(results),
        main="\n".join(filter(None, parts)),
        js=_asset("report.js"),
    )


def _asset(name: str) -> str:
    return (files("limbeck.report") / name).read_text(encoding="utf-8")
