"""A model of another run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from torch import nn

from limbeck.errors import LimbeckError, RecipeError
from limbeck.models import load_weights
from limbeck.recipes.adapters import REBUILDING_OPTIONS, rebuilt
from limbeck.recipes.model_io import IO_OPTIONS
from limbeck.recipes.model_sources.from_registry import build_network
from limbeck.recipes.model_sources.model_source import ModelContext, WeightedModel
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.model_sources.teacher_wrappers import WRAPPER_OPTIONS, with_preprocess
from limbeck.recipes.options import resolve_options
from limbeck.tasks import Task

__all__ = ["FromRun", "load_run_model", "run_model_spec"]

# What a stored section says beside the options of the constructor.
_beside = (*IO_OPTIONS, *WRAPPER_OPTIONS, *REBUILDING_OPTIONS)


def _options(*, run: str, model: str = "student") -> None: ...


class FromRun(WeightedModel):
    """``{run: FOLDER, model: student}``: with the weights that it has there."""

    key = "run"

    def parse(self, section: Section) -> ModelSpec:
        section.refuse_training(self.key)
        own = resolve_options(_options, section.options, path=section.path, name="run", beside=IO_OPTIONS)
        return section.spec(self, own, io=section.io())

    def initial(self, spec: ModelSpec, context: ModelContext, *, seed: int) -> nn.Module:
        return load_run_model(_folder(spec), context.task, spec.path, spec.wrappers)

    def architecture(self, spec: ModelSpec) -> Mapping[str, Any]:
        return _with_preprocess(run_model_spec(_folder(spec), spec.path), spec.wrappers, spec.path)

    def classes(self, spec: ModelSpec) -> Sequence[str] | None:
        known: Sequence[str] = _config(_folder(spec), spec.path)["classes"]
        return known if spec.classes is None else spec.classes


def _folder(spec: ModelSpec) -> Path:
    return Path(spec.options["run"], "models", spec.options["model"])


def load_run_model(
    folder: Path, task: Task, path: str, wrappers: Mapping[str, Any] = MappingProxyType({})
) -> nn.Module:
    """A model of a run, from ``models/<name>``, with the wrappers of the section that takes it.

    Raises:
        RecipeError: if there is none, or it has hardly a class in common with the task.
    """
    section, known = run_model_spec(folder, path), _config(folder, path)["classes"]
    names = wrappers.get("classes", known)
    if not known and task.names:
        raise RecipeError.at(
            path,
            f"the model in {folder} names hidden words and knows no class; begin from it by "
            f"{{use: hugging_face, folder: {folder}}}",
            code="unsupported",
        )
    if list(names) != list(task.names) and len(set(names) & set(task.names)) < 2:
        raise RecipeError.at(
            path,
            f"the model in {folder} knows {_few(names)}, the data has {_few(list(task.names))}; "
            "teacher and student need the same, or at least two in common",
            code="mismatch",
        )
    if len(names) != len(known):
        raise RecipeError(
            f"{path}.classes names {len(names)} classes; the model in {folder} knows {_few(known)}",
            code="mismatch",
            path=f"{path}.classes",
        )
    # One number without a name has no class; the task says how many outputs there are.
    whole = {**_with_preprocess(section, wrappers, path), "classes": known or None}
    model = _build(task.restored(whole, folder), task, path)
    try:
        # Its file knows nothing of the preprocess that this section adds.
        inner_model = cast(nn.Module, model.model) if "preprocess" in wrappers else model
        load_weights(inner_model, folder / "model.safetensors")
    except LimbeckError as error:
        raise RecipeError.at(path, f"{error}", code=error.code) from error
    return model


def _build(section: Mapping[str, Any], task: Task, path: str) -> nn.Module:
    """The model of a stored section, with random weights."""
    options = {option: value for option, value in section.items() if option not in _beside}
    wrappers = {option: section[option] for option in WRAPPER_OPTIONS if option in section}
    network = build_network(options, task, wrappers=wrappers, seed=0, path=path)
    part = rebuilt(network, section, lambda other: _build(other, task, path), task, path)
    return with_preprocess(part, wrappers, path)


def _with_preprocess(section: Mapping[str, Any], wrappers: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    if "preprocess" not in wrappers:
        return section
    if "preprocess" in section:
        raise RecipeError.at(
            f"{path}.preprocess", "the model of that run has one already; remove it here", code="conflict"
        )
    return {**section, "preprocess": wrappers["preprocess"]}


def run_model_spec(folder: Path, path: str) -> Mapping[str, Any]:
    """The section that a model of a run was built by.

    Raises:
        RecipeError: if there is no such model, or it was given as an object.
    """
    spec: Mapping[str, Any] | None = _config(folder, path)["model"]
    if spec is None:
        raise RecipeError.at(
            path, f"the model in {folder} was given in Python; give it again: limbeck.run(…, models=…)", code="missing"
        )
    return spec


def _config(folder: Path, path: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = config["model"]
        return {"classes": list(config["classes"]), "model": None if model is None else {**model, "use": model["use"]}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError.at(
            path,
            f"no finished model in {folder} ({type(error).__name__}: {error})",
            code="not_found" if isinstance(error, FileNotFoundError) else "unreadable",
        ) from error


def _few(values: Sequence[str]) -> str:
    return f"{len(values)} classes ({', '.join(values[:4])}{', …' if len(values) > 4 else ''})"
