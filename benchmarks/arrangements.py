"""The built-in recipes in which students learn from several teachers, from each other or from themselves, on digits.

    python benchmarks/arrangements.py --work DIR [--only table] [RECIPE ...]

Runs each recipe as it comes with the package, by `limbeck.run`, and writes the table of docs/arrangements.md from what
the runs in DIR say. A recipe whose run is there is not run again; one that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from gains import accuracy, effect, gain, interval
from pages import write_section

import limbeck
from limbeck.api import resume
from limbeck.errors import ArgumentError

# Digits first: others take its teacher and its control from it.
RECIPES = ("digits", "assistant", "born-again", "ensemble", "mutual", "own-teacher")
PAGE = Path(__file__).parent.parent / "docs" / "arrangements.md"


def measured(recipe: str, work: Path) -> dict[str, Any]:
    """What the run of a recipe says; it is run, or ended, if it has not been."""
    folder = work / recipe
    file = folder / "results.json"
    if not file.exists():
        if (folder / "recipe.yaml").exists():
            resume(folder)
        else:
            limbeck.run(recipe, output=folder)
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return results


def row(recipe: str, results: Mapping[str, Any]) -> str:
    """One line of the table."""
    models = results["models"]
    teacher = results["teachers"][0] if results["teachers"] else None
    found = gain(results)
    others = [name for name in models if name not in (teacher, "control", "student", "exported")]
    cells = [
        f"`{recipe}`",
        "none" if teacher is None else f"`{teacher}` {_percent(results, teacher)}",
        _percent(results, "control"),
        _percent(results, "student"),
        ", ".join(f"`{name}` {_percent(results, name)}" for name in others) or "none",
        interval(found),
        effect(found),
        f"{results['test_rows']}",
    ]
    return f"| {' | '.join(cells)} |"


def _percent(results: Mapping[str, Any], model: str) -> str:
    return f"{100 * accuracy(results, model):.1f}"


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The table, and where it was made."""
    seeds = {len(results["seeds"]) for results in found.values()}
    if len(seeds) != 1:
        raise ArgumentError(f"the recipes have {sorted(seeds)} seeds; expected one number for all")
    head = (
        "recipe",
        "teacher",
        "control",
        "student",
        "other models",
        "student − control, 95% interval",
        "distillation",
        "test rows",
    )
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    made = f"{seeds.pop()} seeds, torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads."
    return "\n".join([*lines, *(row(recipe, results) for recipe, results in found.items()), "", made])


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--work", type=Path, required=True, help="where the runs are")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--only", choices=["runs", "table"], help="do one of both")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.only != "table":
        for recipe in options.recipes:
            print(row(recipe, measured(recipe, options.work)), flush=True)
    if options.only != "runs":
        write_section(options.page, "table", table({recipe: measured(recipe, options.work) for recipe in RECIPES}))


if __name__ == "__main__":
    main()
