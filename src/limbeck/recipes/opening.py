"""From what a user names to what a run does: plugin, recipe, data and models, tried once."""

from __future__ import annotations

import atexit
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from limbeck import registry
from limbeck.errors import ArgumentError, RecipeError, RunError
from limbeck.recipes.attach import with_taps
from limbeck.recipes.inputs import with_inputs
from limbeck.recipes.options import construct, lookup, option_types
from limbeck.recipes.read import override, read_recipe
from limbeck.recipes.runner import Runner
from limbeck.recipes.schema import resolve
from limbeck.tasks import Task

__all__ = ["checked", "load_plugin", "opened", "shared", "start_accelerator", "task_of"]

_T = TypeVar("_T")


def checked(
    accelerator: Accelerator,
    recipe: str | Path | Mapping[str, Any],
    models: Mapping[str, nn.Module],
    data: Any,
    overrides: Sequence[str],
    plugin: str | Path | None,
) -> tuple[Runner, list[str]]:
    """What a recipe asks for, tried once; and what was decided on the way.

    Raises:
        LimbeckError: if it cannot be run.
    """
    resolved, task = opened(recipe, models, data, overrides, plugin)
    resolved, notes = shared(with_taps(resolved, task, models))
    runner = Runner(resolved, task, models)
    return runner, [*task.notes, *notes, *runner.check(accelerator)]


def opened(
    recipe: str | Path | Mapping[str, Any],
    models: Mapping[str, nn.Module],
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
        if not isinstance(model, nn.Module):
            raise ArgumentError(f"models: {name!r} is a {type(model).__name__}; give a torch module")
    name, raw = read_recipe(recipe)
    objects = {*models, *(() if data is None else ("data",))}
    resolved = resolve(override(raw, overrides), name=name, objects=objects)
    return with_inputs(resolved, task_of(resolved, data), models)


def load_plugin(path: Path) -> None:
    """Run a Python file of the user's, which registers more entries.

    Raises:
        RecipeError: if there is no such file, or it fails.
    """
    if not path.is_file():
        raise RecipeError(f"no plugin file {path}")
    spec = importlib.util.spec_from_file_location(f"limbeck_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"the plugin {path} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and type hints look their module up by name.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise RecipeError(f"the plugin {path} fails: {type(error).__name__}: {error}") from error


def task_of(recipe: Mapping[str, Any], data: Any) -> Task:
    """The task of a resolved recipe, with the data that it names, or that were given."""
    kind: type[Task] = registry.lookup("task", recipe["task"])
    own = option_types(kind.Settings)
    settings = {key: value for key, value in recipe["data"].items() if key in own}
    if data is None:
        source = _load(kind, {key: value for key, value in recipe["data"].items() if key not in own}, "data")
    else:
        source = kind.from_objects(data)
    others = {
        name: _load(kind, settings[name], f"data.{name}") for name in ("unlabelled", "test_from") if settings.get(name)
    }
    task: Task = construct(lambda **given: kind(source, kind.Settings(**given), **others), settings, path="data")
    return task


def _load(task: type[Task], spec: Mapping[str, Any], path: str) -> Any:
    options = {key: value for key, value in spec.items() if key != "use"}
    return construct(lookup(task.sources, spec["use"], path), options, path=path).load()


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


def shared(value: _T) -> _T:
    """The main process's value, on all processes."""
    values = [value]
    broadcast_object_list(values)
    return values[0]
