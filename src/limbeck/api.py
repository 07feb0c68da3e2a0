"""The package in one call: `run` a recipe, `resume` a run."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator
from torch.utils.data import Dataset

from limbeck.data import ImageSet
from limbeck.errors import RunError
from limbeck.files import write_json, write_text
from limbeck.plugins import load_plugin
from limbeck.recipes.read import parsed, recipe_text
from limbeck.recipes.recipe import Recipe
from limbeck.recipes.schema import parse_recipe
from limbeck.report import write_model_card, write_report
from limbeck.runs.inputs import with_inputs
from limbeck.runs.keys import STAGE_FORMAT
from limbeck.runs.list_taps import list_taps
from limbeck.runs.pipeline import Pipeline
from limbeck.runs.precisions import with_precisions
from limbeck.runs.setup import broadcast, load_task, open_recipe, prepare_pipeline, start_accelerator
from limbeck.runs.stages import StageRunner
from limbeck.training.environment import check_same, describe
from limbeck.training.folder import RunFolder, new_folder
from limbeck.training.progress import Progress, SilentProgress
from limbeck.training.tensorboard import write_tensorboard

__all__ = ["check", "load_plugin", "prepare_pipeline", "resume", "run", "start_accelerator", "taps"]


def run(
    recipe: str | Path | Mapping[str, Any],
    *,
    models: Mapping[str, Any] | None = None,
    data: Mapping[str, ImageSet] | Dataset[Any] | tuple[Dataset[Any], Dataset[Any]] | None = None,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    plugin: str | Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Train the teacher, the control and the student of a recipe; measure, export and report them.

    Args:
        recipe: a file, the name of a built-in recipe, or a mapping.
        models: real modules in place of entries of ``models``; they take images ``[B, C, H, W]`` in 0..1. One that
            teaches is taken as trained; a student starts from its weights, and a copy of it is trained. A teacher of
            tables or images may be an estimator as scikit-learn has them, with ``predict`` for numbers or
            ``predict_proba`` for classes; it gets columns in their units and categories by their names.
        data: in place of ``data``: what a source loads, a dataset of pairs (image, label), or one for training and one
            for the test.
        overrides: values to set in the recipe, as ``train.epochs=5``.
        output: the folder of the run; by default ``runs/<recipe>-<UTC time>``. Finished stages are shared with all runs
            beside it.
        plugin: a Python file that registers more losses, models or sources.
        fresh: train anew what an earlier run has finished.
        progress: told what happens; silent by default.

    Returns:
        The folder of the run, with ``results.json``, ``report.html``, models and the exported file.

    Raises:
        LimbeckError: if the recipe cannot be run. Nothing is written then.
    """
    accelerator = start_accelerator()
    pipeline, notes = prepare_pipeline(accelerator, recipe, models or {}, data, overrides, plugin)
    paths = _paths(pipeline.recipe.name, output)
    # Every process looks before the main one creates it.
    accelerator.wait_for_everyone()
    path = Path()
    if accelerator.is_main_process:
        path = _create(paths, pipeline.recipe, plugin, accelerator, exclusive_folder=output is None)
    folder = RunFolder(broadcast(path))
    return _go(pipeline, folder, accelerator, plugin=plugin, fresh=fresh, progress=progress, notes=notes)


def check(
    recipe: str | Path | Mapping[str, Any], *, overrides: Sequence[str] = (), plugin: str | Path | None = None
) -> dict[str, Any]:
    """Everything that `run` does before it writes a file.

    Args:
        recipe: a file, the name of a built-in recipe, or a mapping.
        overrides: values to set in the recipe, as ``train.epochs=5``.
        plugin: a Python file that registers more losses, models or sources.

    Returns:
        The recipe with every default written out.

    Raises:
        LimbeckError: if the recipe cannot be run.
    """
    return prepare_pipeline(start_accelerator(), recipe, {}, None, overrides, plugin)[0].recipe.to_dict()


def taps(
    recipe: str | Path | Mapping[str, Any],
    *,
    models: Mapping[str, Any] | None = None,
    data: Mapping[str, ImageSet] | Dataset[Any] | tuple[Dataset[Any], Dataset[Any]] | None = None,
    plugin: str | Path | None = None,
) -> dict[str, Any]:
    """The modules of the models of a recipe, and the taps that ``taps: auto`` would choose.

    Args:
        recipe: a file, the name of a built-in recipe, or a mapping.
        models, data, plugin: as in `run`.

    Returns:
        For each model its ``modules``: path, kind, shapes for ``rows`` rows, parameters, number of runs; the ``taps``
        that a model without any would get, the ``matches`` behind them, and ``why`` in words.

    Raises:
        LimbeckError: if a model cannot be built, or does not fit the data.
    """
    parsed, task = open_recipe(recipe, models or {}, data, (), plugin)
    return list_taps(parsed, task, models or {})


def resume(
    path: str | Path,
    *,
    inexact: bool = False,
    models: Mapping[str, Any] | None = None,
    data: Mapping[str, ImageSet] | Dataset[Any] | tuple[Dataset[Any], Dataset[Any]] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Continue an interrupted run; its final weights equal those of an uninterrupted run, bit for bit.

    Args:
        path: the folder of the run.
        inexact: go on although torch's version, the device, the processor, the threads or the number of processes
            differ.
        models: the objects that the run was begun with, if there were any.
        data: likewise.
        progress: told what happens; silent by default.

    Raises:
        RunError: if it is no run, is in use, or cannot go on exactly.
    """
    folder = RunFolder(Path(path))
    written, before = _begun(folder)
    plugin = before["plugin"]
    if plugin is not None:
        load_plugin(Path(plugin))
    accelerator = start_accelerator()
    if not inexact:
        check_same(before, describe(accelerator.device, accelerator.num_processes))
    objects = {*(models or {}), *(() if data is None else ("data",))}
    _check_objects(folder.path, written, objects)
    opened = parse_recipe(written, name=written["name"], objects=objects)
    parsed_recipe, task = with_inputs(opened, load_task(opened, data), models or {})
    pipeline = Pipeline(parsed_recipe, task, models or {})
    return _go(pipeline, folder, accelerator, plugin=plugin, fresh=False, progress=progress)


def _go(
    pipeline: Pipeline,
    folder: RunFolder,
    accelerator: Accelerator,
    *,
    plugin: str | Path | None,
    fresh: bool,
    progress: Progress | None,
    notes: Sequence[str] = (),
) -> Path:
    if progress is None or not accelerator.is_main_process:
        progress = SilentProgress()
    digest = None if plugin is None else hashlib.sha256(Path(plugin).read_bytes()).hexdigest()
    runner = StageRunner(folder, accelerator=accelerator, progress=progress, plugin=digest, fresh=fresh)
    if not accelerator.is_main_process:
        pipeline.run(runner)
    else:
        with folder.locked():
            for line in (f"run {folder.path}", *notes):
                progress.note(line)
            folder.sweep()
            runner.store.sweep()
            results = pipeline.run(runner)
            write_text(folder.recipe, recipe_text(with_precisions(pipeline.recipe, runner.precisions).to_dict()))
            write_json(folder.results, results)
            write_tensorboard(folder.events, folder.path / "tensorboard")
            write_report(folder.path)
            write_model_card(folder.path)
    # A process that ends before the others may take them with it.
    accelerator.wait_for_everyone()
    return folder.path


def _paths(name: str, output: str | Path | None) -> Iterator[Path]:
    """Where the run may stand, the best place first."""
    if output is not None:
        path = Path(output)
        if path.exists() and any(path.iterdir() if path.is_dir() else [path]):
            raise RunError(
                f"{path} is there already; choose another --output, or go on with it: limbeck resume {path}",
                code="in_use",
                path=path,
            )
        return iter([path])
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return (Path("runs") / f"{stem}-{stamp}{f'-{number}' if number > 1 else ''}" for number in itertools.count(1))


def _create(
    paths: Iterator[Path],
    recipe: Recipe,
    plugin: str | Path | None,
    accelerator: Accelerator,
    *,
    exclusive_folder: bool,
) -> Path:
    with new_folder(paths, exclusive=exclusive_folder) as folder:
        environment = describe(accelerator.device, accelerator.num_processes)
        environment["plugin"] = None if plugin is None else os.path.abspath(plugin)
        environment["stage_format"] = STAGE_FORMAT
        write_json(folder.environment, environment)
        write_text(folder.recipe, recipe_text(recipe.to_dict()))
    return folder.path


def _begun(folder: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe and the environment that a run was begun with."""
    try:
        recipe = parsed(folder.recipe.read_text(encoding="utf-8"))
        environment = json.loads(folder.environment.read_text(encoding="utf-8"))
        missing = [key for key in ("name", "data", "models") if key not in recipe]
        needed = ("plugin", "device", "processor", "threads", "processes", "packages")
        missing += [key for key in needed if key not in environment]
        if missing:
            raise ValueError(f"no {missing[0]!r} in it")
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise RunError(
            f"{folder.path} is no run that can be resumed: {' '.join(str(error).split())}",
            code="not_found" if isinstance(error, FileNotFoundError) else "unreadable",
            path=folder.path,
        ) from error
    # The first edition of stages wrote no format.
    format_ = environment.get("stage_format", 3)
    if format_ != STAGE_FORMAT:
        raise RunError(
            f"{folder.path} was begun by another version of limbeck: its stages have the format {format_}, and this "
            f"version reads {STAGE_FORMAT}. Run its recipe again: limbeck run {folder.recipe}",
            code="changed",
            path=folder.path,
        )
    return recipe, environment


def _check_objects(path: Path, recipe: Mapping[str, Any], objects: Any) -> None:
    given = {name for name, spec in recipe["models"].items() if "object" in spec}
    given |= {"data"} if recipe["data"]["use"] == "object" else set()
    missing = sorted(given - set(objects))
    if missing:
        raise RunError(
            f"this run was begun with real objects for {', '.join(missing)}; go on from Python, with "
            "limbeck.api.resume(path, models=…, data=…) and the same objects",
            code="missing",
            path=path,
        )
