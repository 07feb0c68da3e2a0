"""A model that is built from the registry, and trained unless it comes with weights."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

import limbeck.models  # noqa: F401  # registers them
from limbeck import registry
from limbeck.errors import LimbeckError, RecipeError
from limbeck.models import load_weights
from limbeck.models.network import network
from limbeck.recipes.model_io import IO_OPTIONS, ModelIO
from limbeck.recipes.model_sources.learning import parse_learning
from limbeck.recipes.model_sources.model_source import ModelContext, WeightedModel
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.model_sources.teacher_wrappers import preprocessed_shape, with_preprocess
from limbeck.recipes.options import construct, lookup, resolve_use
from limbeck.tasks import Part, Task

__all__ = ["FromRegistry", "build_model", "build_network"]


class FromRegistry(WeightedModel):
    """``{use: NAME, …}``."""

    key = "use"

    def parse(self, section: Section) -> ModelSpec:
        options = _options(section)
        ready = _has_weights(options, _needs(section.task, section.row_kinds))
        return section.spec(self, options, io=section.io(), learning=parse_learning(section, ready=ready))

    def initial(self, spec: ModelSpec, context: ModelContext, *, seed: int) -> nn.Module:
        return build_model(spec.options, context.task, wrappers=spec.wrappers, seed=seed, path=spec.path)

    def architecture(self, spec: ModelSpec) -> dict[str, Any]:
        io = ModelIO() if spec.io is None else spec.io
        preprocess = {option: value for option, value in spec.wrappers.items() if option == "preprocess"}
        return {**spec.options, **asdict(io), **preprocess}

    def random_init(self, spec: ModelSpec) -> bool:
        return not _has_weights(spec.options)


def _options(section: Section) -> dict[str, Any]:
    """The constructor's options, the components that the section names, and its checkpoint."""
    checkpoint, path = section.options.get("checkpoint"), section.path
    if checkpoint is not None and not isinstance(checkpoint, str | Path):
        raise RecipeError(
            f"{path}.checkpoint is {checkpoint!r}; it must be the path of a file",
            code="wrong_type",
            path=f"{path}.checkpoint",
        )
    options = {key: value for key, value in section.options.items() if key != "checkpoint"}
    beside = ("train", "objective", "checkpoint", *IO_OPTIONS)
    task = section.task
    parts = {name: options.pop(name, None) for name in task.parts}
    supplied, needs = (*task.supplied, "checkpoint"), _needs(task, section.row_kinds)
    model = resolve_use(["model"], options, path, supplied, (*beside, *task.parts), needs)
    entry = lookup(["model"], model["use"], path, needs)
    made = {name: _part(task.parts[name], given, entry, f"{path}.{name}") for name, given in parts.items()}
    return {**model, **made, "checkpoint": None if checkpoint is None else str(checkpoint)}


def _part(part: Part, given: Any, entry: Any, path: str) -> dict[str, Any] | None:
    """What a model is made with; None for one that brings it."""
    if part.gives in inspect.signature(entry).parameters:
        return resolve_use([part.kind], part.default if given is None else given, path, part.supplied, needs=part.needs)
    if given is not None:
        raise RecipeError.at(path, "the model brings its own; remove it", code="conflict")
    return None


def _needs(task: type[Task], kinds: Collection[str]) -> registry.Needs:
    """What a task needs of its models, given the kinds of its rows: one that takes several has rows of one of them."""
    inputs = tuple(one for one in task.needs.inputs if one in kinds) or task.needs.inputs
    return replace(task.needs, inputs=inputs, by=f"task {registry.name_of('task', task)}")


def _has_weights(options: Mapping[str, Any], needs: registry.Needs | None = None) -> bool:
    entries = registry.capabilities("model", options["use"], needs)
    return options.get("checkpoint") is not None or any(entry.pretrained for entry in entries)


def build_model(
    options: Mapping[str, Any],
    task: Task,
    *,
    wrappers: Mapping[str, Any] = MappingProxyType({}),
    seed: int,
    path: str,
) -> nn.Module:
    """A model of the registry with its ``preprocess`` and, where it has one, the weights of its checkpoint.

    Args:
        options: ``use``, the options of the constructor, the components that the task asks for, and ``checkpoint``.
        task: with the data loaded.
        wrappers: ``classes`` and ``preprocess``, where they are given.
        seed: of the initial weights.
        path: of the section, for errors.

    Raises:
        RecipeError: if it cannot be built, or its checkpoint does not fit.
    """
    network = build_network(options, task, wrappers=wrappers, seed=seed, path=path)
    model = with_preprocess(network, wrappers, path)
    if options["checkpoint"] is not None:
        _load_checkpoint(model, Path(options["checkpoint"]), path)
    return model


def build_network(
    options: Mapping[str, Any], task: Task, *, wrappers: Mapping[str, Any], seed: int, path: str
) -> nn.Module:
    """The network of `build_model` alone; its initial weights are a function of the seed."""
    rest = {option: value for option, value in options.items() if option not in ("use", "checkpoint")}
    parts = {name: rest.pop(name, None) for name in task.parts}
    kinds = [one.kind for one in (type(task.test),) if hasattr(one, "kind")]
    entry = lookup(["model"], options["use"], path, _needs(type(task), kinds))
    parameters = inspect.signature(entry).parameters
    if "per_word" in task.supplied and "per_word" in parameters:
        rest["per_word"] = task.needs.per == "word"

    def build(**supplied: Any) -> nn.Module:
        shape = preprocessed_shape(supplied, wrappers, path)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            # A model of fixed classes, or an estimator, needs to know nothing of the rows.
            shape = {name: value for name, value in shape.items() if name in parameters}
        model: nn.Module = construct(entry, {**rest, **shape}, path=path)
        return model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task.build(build, path.rpartition(".")[2], parts)


def _load_checkpoint(model: nn.Module, file: Path, path: str) -> None:
    """A file holds the weights of the whole model, as a run writes them, or those of the network alone."""
    try:
        load_weights(model, file)
    except LimbeckError as whole:
        try:
            load_weights(network(model)[0], file)
        except LimbeckError as error:
            raise RecipeError.at(f"{path}.checkpoint", f"{error}", code=error.code) from whole
