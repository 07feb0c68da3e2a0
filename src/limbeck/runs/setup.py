"""From what a user names to what a run does: plugin, recipe, data and models, tried once."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from limbeck.errors import ArgumentError, RunError
from limbeck.models import is_estimator
from limbeck.plugins import load_plugin
from limbeck.recipes.read import override, read_recipe
from limbeck.recipes.recipe import Recipe
from limbeck.recipes.schema import parse_recipe
from limbeck.runs.auto_taps import with_taps
from limbeck.runs.inputs import with_inputs
from limbeck.runs.pipeline import Pipeline
from limbeck.tasks import Task

__all__ = ["broadcast", "load_task", "open_recipe", "prepare_pipeline", "start_accelerator"]

_T = TypeVar("_T")


def prepare_pipeline(
    accelerator: Accelerator,
    recipe: str | Path | Mapping[str, Any],
    models: Mapping[str, Any],
    data: Any,
    overrides: Sequence[str],
    plugin: str | Path | None,
) -> tuple[Pipeline, list[str]]:
    """What a recipe asks for, tried once; and what was decided on the way.

    Raises:
        LimbeckError: if it cannot be run.
    """
    opened, task = open_recipe(recipe, models, data, overrides, plugin)
    parsed, notes = broadcast(with_taps(opened, task, models))
    pipeline = Pipeline(parsed, task, models)
    return pipeline, [*task.notes, *notes, *pipeline.check(accelerator)]


def open_recipe(
    recipe: str | Path | Mapping[str, Any],
    models: Mapping[str, Any],
    data: Any,
    overrides: Sequence[str],
    plugin: str | Path | None,
) -> tuple[Recipe, Task]:
    """A parsed recipe, and its task with the data loaded.

    Raises:
        LimbeckError: if anything in it cannot be right.
    """
    if plugin is not None:
        load_plugin(Path(plugin))
    for name, model in models.items():
        if not isinstance(model, nn.Module) and not is_estimator(model):
            raise ArgumentError(
                f"models: {name!r} is a {type(model).__name__}; give a torch module, or an estimator with predict",
                code="wrong_type",
                path=f"models.{name}",
            )
    name, raw = read_recipe(recipe)
    objects = {*models, *(() if data is None else ("data",))}
    parsed = parse_recipe(override(raw, overrides), name=name, objects=objects)
    return with_inputs(parsed, load_task(parsed, data), models)


def load_task(recipe: Recipe, data: Any) -> Task:
    """The task of a recipe, with the data that it names, or that were given."""
    task = recipe.data.load(recipe.task_type, data)
    task.metrics = tuple(recipe.measure.metrics or ())
    return task


def start_accelerator() -> Accelerator:
    """What the processes that were started together compute with.

    Raises:
        RunError: if Accelerate does not use all of them.
    """
    accelerator = Accelerator()
    started = os.environ.get("WORLD_SIZE", "1")
    if int(started) != accelerator.num_processes:
        raise RunError(
            f"this is one of {started} processes (WORLD_SIZE), and Accelerate trains with {accelerator.num_processes}; "
            "without a GPU for each, set ACCELERATE_USE_CPU=true",
            code="mismatch",
        )
    if accelerator.num_processes > 1:
        # torch aborts a process that ends with its group.
        atexit.register(accelerator.end_training)
    return accelerator


def broadcast(value: _T) -> _T:
    """The main process's value, on all processes."""
    values = [value]
    broadcast_object_list(values)
    return values[0]
