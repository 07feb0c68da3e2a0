"""Lists the modules of the models of a recipe, and the taps that `taps: auto` would choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import nn

from limbeck.core import resolve, rows_of
from limbeck.layers.trace import modules
from limbeck.recipes.model_io import ATTENTION, AUTO
from limbeck.recipes.recipe import Recipe
from limbeck.runs.auto_taps import SAMPLE, Choice, build_models, choose_taps, unmatched_reason
from limbeck.tasks import Task

__all__ = ["list_taps", "taps_text"]


def list_taps(recipe: Recipe, task: Task, objects: Mapping[str, nn.Module]) -> dict[str, Any]:
    """The modules of every model, and the taps that it would get where the recipe names no module."""
    models, sample = build_models(recipe, task, objects), task.sample(SAMPLE)
    board = {"batch": sample}
    left_open = {
        name: spec.with_io(taps=AUTO) if name in models and spec.taps in ({}, ATTENTION) else spec
        for name, spec in recipe.models.items()
    }
    choice = choose_taps(left_open, models, sample) if unmatched_reason(left_open, models) is None else Choice({}, ())
    return {
        "schema": 1,
        "recipe": recipe.name,
        "rows": rows_of(sample),
        "models": {
            name: {"modules": [asdict(one) for one in modules(model, resolve(board, recipe.models[name].inputs))]}
            for name, model in models.items()
        },
        "taps": {name: dict(taps) for name, taps in choice.taps.items()},
        "matches": [asdict(match) for match in choice.matches],
        "why": [line for match in choice.matches for line in match.lines()],
    }


def taps_text(found: Mapping[str, Any]) -> str:
    """The result of `list_taps` as text."""
    blocks = [_listing(name, model["modules"]) for name, model in found["models"].items()]
    chosen = [
        f"  {name}: {{{', '.join(f'{tap}: {path}' for tap, path in taps.items())}}}"
        for name, taps in found["taps"].items()
        if taps
    ]
    if chosen:
        blocks.append("\n".join(["taps: auto would be", *chosen, *(f"  {line}" for line in found["why"])]))
    return "\n\n".join(blocks)


def _listing(name: str, listed: Sequence[Mapping[str, Any]]) -> str:
    rows = [("path", "type", "output", "parameters", "")]
    for module in listed:
        shapes = ", ".join("×".join(map(str, shape)) for shape in module["shapes"])
        runs = {0: "does not run", 1: ""}.get(module["runs"], f"runs {module['runs']} times")
        rows.append((module["path"] or "(whole)", module["kind"], shapes, f"{module['parameters']:,}", runs))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for path, kind, shapes, parameters, runs in rows:
        left = f"  {path:<{widths[0]}}  {kind:<{widths[1]}}  {shapes:<{widths[2]}}"
        lines.append(f"{left}  {parameters:>{widths[3]}}  {runs}".rstrip())
    return "\n".join([name, *lines])
