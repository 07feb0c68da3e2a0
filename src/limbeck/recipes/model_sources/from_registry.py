"""A model that is built from the registry, and trained unless it comes with weights."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import limbeck.models  # noqa: F401  # registers them
from limbeck import registry
from limbeck.errors import LimbeckError, RecipeError
from limbeck.models import load_weights
from limbeck.models.network import network
from limbeck.recipes.adapters import base_spec, rebuilt
from limbeck.recipes.model_io import IO_OPTIONS
from limbeck.recipes.model_sources.learning import resolve_learning
from limbeck.recipes.model_sources.model_source import ModelContext, Section, Spec, WeightedModel
from limbeck.recipes.model_sources.teacher_wrappers import WRAPPER_OPTIONS, preprocessed_shape, with_preprocess
from limbeck.recipes.options import construct, lookup, resolve_use
from limbeck.tasks import Part, Task

__all__ = ["FromRegistry", "build_model"]


class FromRegistry(WeightedModel):
    """``{use: NAME, …}``."""

    key = "use"

    def resolve(self, section: Section) -> dict[str, Any]:
        architecture = _architecture(section)
        return {
            **architecture,
            **resolve_learning(section, ready=_has_weights(section.options, section.task.needs)),
            **section.read(),
        }

    def initial(self, spec: Spec, context: ModelContext, *, seed: int, path: str) -> nn.Module:
        return build_model(spec, context.task, seed=seed, path=path)

    def architecture(self, spec: Spec, path: str) -> Spec | None:
        beside = ("train", "objective", "classes", "confidence")
        return {key: value for key, value in base_spec(spec).items() if key not in beside}

    def random_init(self, spec: Spec) -> bool:
        return not _has_weights(spec)


def _architecture(section: Section) -> dict[str, Any]:
    checkpoint, path = section.options.get("checkpoint"), section.path
    if checkpoint is not None and not isinstance(checkpoint, str | Path):
        raise RecipeError(f"{path}.checkpoint is {checkpoint!r}; it must be the path of a file")
    options = {key: value for key, value in section.options.items() if key != "checkpoint"}
    beside = ("train", "objective", "checkpoint", *IO_OPTIONS)
    task = section.task
    parts = {name: options.pop(name, None) for name in task.parts}
    supplied, needs = (*task.supplied, "checkpoint"), _needs(task)
    model = resolve_use(["model"], options, path, supplied, (*beside, *task.parts), needs)
    entry = lookup(["model"], model["use"], path, needs)
    made = {name: _part(task.parts[name], given, entry, f"{path}.{name}") for name, given in parts.items()}
    return {**model, **made, "checkpoint": None if checkpoint is None else str(checkpoint)}


def _part(part: Part, given: Any, entry: Any, path: str) -> dict[str, Any] | None:
    """What a model is made with; None for one that brings it."""
    if part.gives in inspect.signature(entry).parameters:
        return resolve_use([part.kind], part.default if given is None else given, path, part.supplied, needs=part.needs)
    if given is not None:
        raise RecipeError(f"{path}: the model brings its own; remove it")
    return None


def _needs(task: type[Task]) -> registry.Needs:
    return replace(task.needs, by=f"task {registry.name_of('task', task)}")


def _has_weights(spec: Spec, needs: registry.Needs | None = None) -> bool:
    entries = registry.capabilities("model", spec["use"], needs)
    return spec.get("checkpoint") is not None or any(entry.pretrained for entry in entries)


def build_model(spec: Spec, task: Task, *, seed: int, path: str) -> nn.Module:
    """A model with ``use``, its initial weights a function of the seed; and of its checkpoint, where it has one."""
    beside = ("use", "train", "objective", "checkpoint", "exit", *IO_OPTIONS, *WRAPPER_OPTIONS, *task.parts)
    options = {key: value for key, value in base_spec(spec).items() if key not in beside}
    entry = lookup(["model"], spec["use"], path, _needs(type(task)))
    if "per_word" in task.supplied and "per_word" in inspect.signature(entry).parameters:
        options["per_word"] = task.needs.per == "word"

    def build(**supplied: Any) -> nn.Module:
        model: nn.Module = construct(entry, {**options, **preprocessed_shape(supplied, spec, path)}, path=path)
        return model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = task.build(build, path.rpartition(".")[2], {name: spec.get(name) for name in task.parts})
    model = rebuilt(model, spec, lambda other: build_model(other, task, seed=0, path=path), task, path)
    whole = with_preprocess(model, spec, path)
    if spec["checkpoint"] is not None:
        _load_checkpoint(whole, Path(spec["checkpoint"]), path)
    return whole


def _load_checkpoint(model: nn.Module, file: Path, path: str) -> None:
    """A file holds the weights of the whole model, as a run writes them, or those of the network alone."""
    try:
        load_weights(model, file)
    except LimbeckError as whole:
        try:
            load_weights(network(model)[0], file)
        except LimbeckError as error:
            raise RecipeError(f"{path}.checkpoint: {error}") from whole
