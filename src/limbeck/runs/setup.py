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

from limbeck import registry
from limbeck.errors import ArgumentError, RunError
from limbeck.models import is_estimator
from limbeck.plugins import load_plugin
from limbeck.recipes.data_sources import load_object, load_source
from limbeck.recipes.options import construct, option_types
from limbeck.recipes.read import override, read_recipe
from limbeck.recipes.schema import resolve
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
    resolved, task = open_recipe(recipe, models, data, overrides, plugin)
    resolved, notes = broadcast(with_taps(resolved, task, models))
    pipeline = Pipeline(resolved, task, models)
    return pipeline, [*task.notes, *notes, *pipeline.check(accelerator)]


def open_recipe(
    recipe: str | Path | Mapping[str, Any],
    models: Mapping[str, Any],
    data: Any,
    overrides: Sequence[str],
    plugin: str | Path | None,
) -> tuple[dict[str, Any], Task]:
    """A resolved recipe, and its task with the data loaded.

    Raises:
        LimbeckError: if anything in it cannot be right.
    """
    if plugin is not None:
        load_plugin(Path(plugin))
    for name, model in models.items():
        if not isinstance(model, nn.Module) and not is_estimator(model):
            raise ArgumentError(
                f"models: {name!r} is a {type(model).__name__}; give a torch module, or an estimator with predict"
            )
    name, raw = read_recipe(recipe)
    objects = {*models, *(() if data is None else ("data",))}
    resolved = resolve(override(raw, overrides), name=name, objects=objects)
    return with_inputs(resolved, load_task(resolved, data), models)


def load_task(recipe: Mapping[str, Any], data: Any) -> Task:
    """The task of a resolved recipe, with the data that it names, or that were given."""
    kind: type[Task] = registry.lookup("task", recipe["task"])
    own = option_types(kind.Settings)
    settings = {key: value for key, value in recipe["data"].items() if key in own}
    spec = {key: value for key, value in recipe["data"].items() if key not in own}
    source = load_source(kind, spec, "data") if data is None else load_object(kind, data, spec)
    others = {
        name: load_source(kind, settings[name], f"data.{name}")
        for name in ("unlabelled", "test_from")
        if settings.get(name)
    }
    task: Task = construct(lambda **given: kind(source, kind.Settings(**given), **others), settings, path="data")
    task.metrics = tuple(recipe["measure"]["metrics"] or ())
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
            "without a GPU for each, set ACCELERATE_USE_CPU=true"
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
