"""A model of another run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.errors import LimbeckError, RecipeError
from limbeck.recipes.forms.built import build_model
from limbeck.recipes.forms.form import OwnWeights, Section, Spec, Workshop
from limbeck.recipes.options import resolve_options
from limbeck.recipes.reading import READING_OPTIONS
from limbeck.students import load_weights
from limbeck.tasks import Task

__all__ = ["FromRun", "load_run_model", "run_model_spec"]


def _options(*, run: str, model: str = "student") -> None: ...


class FromRun(OwnWeights):
    """``{run: FOLDER, model: student}``: with the weights that it has there."""

    key = "run"

    def resolve(self, section: Section) -> dict[str, Any]:
        section.refuse_training(self.key)
        own = resolve_options(_options, section.options, path=section.path, name="run", beside=READING_OPTIONS)
        return {**own, **section.read()}

    def initial(self, spec: Spec, workshop: Workshop, *, seed: int, path: str) -> nn.Module:
        return load_run_model(_folder(spec), workshop.task, path)

    def architecture(self, spec: Spec, path: str) -> Spec | None:
        return run_model_spec(_folder(spec), path)


def _folder(spec: Spec) -> Path:
    return Path(spec["run"], "models", spec["model"])


def load_run_model(folder: Path, task: Task, path: str) -> nn.Module:
    """A model of a run, from ``models/<name>``.

    Raises:
        RecipeError: if there is none, or it is for other classes than the task's.
    """
    spec = run_model_spec(folder, path)
    classes = _config(folder, path)["classes"]
    if classes != list(task.classes):
        raise RecipeError(
            f"{path}: the model in {folder} knows {_few(classes)}, the data has {_few(list(task.classes))}; "
            "teacher and student need the same"
        )
    model = build_model({**spec, "checkpoint": None}, task, seed=0, path=path)
    try:
        load_weights(model, folder / "model.safetensors")
    except LimbeckError as error:
        raise RecipeError(f"{path}: {error}") from error
    return model


def run_model_spec(folder: Path, path: str) -> Spec:
    """The section that a model of a run was built by.

    Raises:
        RecipeError: if there is no such model, or it was given as an object.
    """
    spec: Spec | None = _config(folder, path)["model"]
    if spec is None:
        raise RecipeError(f"{path}: the model in {folder} was given in Python; give it again: limbeck.run(…, models=…)")
    return spec


def _config(folder: Path, path: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = config["model"]
        return {"classes": list(config["classes"]), "model": None if model is None else {**model, "use": model["use"]}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{path}: no finished model in {folder} ({type(error).__name__}: {error})") from error


def _few(values: Sequence[str]) -> str:
    return f"{len(values)} classes ({', '.join(values[:4])}{', …' if len(values) > 4 else ''})"
