"""What the runs of `imdb.py` found, as a table."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch
from gains import accuracy, effect, gain, interval
from imdb_methods import PARTS

__all__ = ["table"]

_head = (
    "part",
    "student",
    "seeds",
    "parameters",
    "accuracy",
    "of the teacher's",
    "control",
    "student − control, 95% interval",
    "distillation",
    "shipped file: accuracy",
    "MB",
)


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """One row for the teacher and one for each part, and where it was made."""
    first = next(iter(found.values()))
    where = f"torch {torch.__version__}, {platform.machine()}"
    made = f"{first['test_rows']} test rows, {where}, one thread for each run but the first."
    rows = [_teacher(first), *(_row(name, results) for name, results in found.items())]
    return "\n".join([_line(_head), f"|{'---|' * len(_head)}", *map(_line, rows), "", made])


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _teacher(results: Mapping[str, Any]) -> tuple[str, ...]:
    size = results["models"]["teacher"]["cost"]["parameters"]
    right = _percent(accuracy(results, "teacher"))
    return ("teacher", "6 layers", "1", _millions(size), right, "", "", "", "", "", "")


def _row(name: str, results: Mapping[str, Any]) -> tuple[str, ...]:
    models, difference = results["models"], gain(results)
    shipped = "int8" if PARTS[name].int8 else "exported"
    return (
        f"`{name}`",
        PARTS[name].what,
        str(len(results["seeds"])),
        _millions(models["student"]["cost"]["parameters"]),
        _percent(accuracy(results, "student")),
        _percent(accuracy(results, "student") / accuracy(results, "teacher")),
        _percent(accuracy(results, "control")),
        interval(difference),
        # Another seed could say otherwise, as the verdict of such a run does.
        effect(difference) if len(results["seeds"]) > 1 else "one seed",
        _percent(accuracy(results, shipped)),
        f"{models[shipped]['cost']['bytes'] / 1e6:.1f}",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f}M"
