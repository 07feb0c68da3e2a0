"""A model of another run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from torch import nn

from limbeck.errors import LimbeckError, RecipeError
from limbeck.models import load_weights
from limbeck.recipes.model_io import IO_OPTIONS
from limbeck.recipes.model_sources.from_registry import build_model
from limbeck.recipes.model_sources.model_source import ModelContext, Section, Spec, WeightedModel
from limbeck.recipes.options import resolve_options
from limbeck.tasks import Task

__all__ = ["FromRun", "load_run_model", "run_model_spec"]


def _options(*, run: str, model: str = "student") -> None: ...


class FromRun(WeightedModel):
    """``{run: FOLDER, model: student}``: with the weights that it has there."""

    key = "run"

    def resolve(self, section: Section) -> dict[str, Any]:
        section.refuse_training(self.key)
        own = resolve_options(_options, section.options, path=section.path, name="run", beside=IO_OPTIONS)
        return {**own, **section.read()}

    def initial(self, spec: Spec, context: ModelContext, *, seed: int, path: str) -> nn.Module:
        return load_run_model(_folder(spec), context.task, path, spec)

    def architecture(self, spec: Spec, path: str) -> Spec | None:
        return _with_preprocess(run_model_spec(_folder(spec), path), spec, path)

    def classes(self, spec: Spec, path: str) -> Sequence[str] | None:
        named = super().classes(spec, path)
        known: Sequence[str] = _config(_folder(spec), path)["classes"]
        return known if named is None else named


def _folder(spec: Spec) -> Path:
    return Path(spec["run"], "models", spec["model"])


def load_run_model(folder: Path, task: Task, path: str, spec: Spec = MappingProxyType({})) -> nn.Module:
    """A model of a run, from ``models/<name>``, as the section that takes it has it.

    Raises:
        RecipeError: if there is none, or it has hardly a class in common with the task.
    """
    inner, known = run_model_spec(folder, path), _config(folder, path)["classes"]
    names = spec.get("classes", known)
    if not known and task.names:
        raise RecipeError(
            f"{path}: the model in {folder} names hidden words and knows no class; begin from it by "
            f"{{use: hugging_face, folder: {folder}}}"
        )
    if list(names) != list(task.names) and len(set(names) & set(task.names)) < 2:
        raise RecipeError(
            f"{path}: the model in {folder} knows {_few(names)}, the data has {_few(list(task.names))}; "
            "teacher and student need the same, or at least two in common"
        )
    if len(names) != len(known):
        raise RecipeError(f"{path}.classes names {len(names)} classes; the model in {folder} knows {_few(known)}")
    # One number without a name has no class; the task says how many outputs there are.
    built = {**_with_preprocess(inner, spec, path), "checkpoint": None, "classes": known or None}
    model = build_model(task.restored(built, folder), task, seed=0, path=path)
    try:
        # Its file knows nothing of the preprocess that this section adds.
        inner_model = cast(nn.Module, model.model) if "preprocess" in spec else model
        load_weights(inner_model, folder / "model.safetensors")
    except LimbeckError as error:
        raise RecipeError(f"{path}: {error}") from error
    return model


def _with_preprocess(inner: Spec, spec: Spec, path: str) -> Spec:
    if "preprocess" not in spec:
        return inner
    if "preprocess" in inner:
        raise RecipeError(f"{path}.preprocess: the model of that run has one already; remove it here")
    return {**inner, "preprocess": spec["preprocess"]}


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
