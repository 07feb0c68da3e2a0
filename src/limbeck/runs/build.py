"""From a resolved recipe to the distiller of one training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from limbeck.core import Distiller, Tapped, Teacher, Term, source_of
from limbeck.errors import RecipeError
from limbeck.recipes.adapters import added_taps
from limbeck.recipes.model_io import ModelIO, inputs_in_models
from limbeck.recipes.model_sources import ModelSpec, TeacherContext
from limbeck.recipes.options import construct
from limbeck.recipes.supervised_terms import normalize_weights
from limbeck.runs.plan import TrainingSpec
from limbeck.runs.teachers import made_of
from limbeck.teachers.map_classes import known_by

__all__ = ["build_distiller", "for_training"]


def build_distiller(
    training: TrainingSpec,
    specs: Mapping[str, ModelSpec],
    learners: Mapping[str, nn.Module],
    teachers: Mapping[str, nn.Module],
    *,
    classes: Sequence[str] = (),
    cached: Collection[str] = (),
) -> Distiller:
    """The distiller of one training.

    Args:
        training: its terms, and how they are weighed.
        specs: the sections of the recipe, as this training sees them.
        learners: by their name on the board.
        teachers: the models with weights of their own, by section.
        classes: of the task.
        cached: the names of the teachers whose outputs the batch brings along.

    Raises:
        RecipeError: if a term, a teacher or a tap does not fit the models.
    """
    context = TeacherContext(
        specs=specs,
        classes=classes,
        models=teachers,
        learners=tuple(learners),
        differentiated=_differentiated(training, specs),
        cached=cached,
    )
    teachers_on_board = {name: context.teacher(name) for name in _on_the_board(training, specs)}
    _check_needs(teachers_on_board, specs, learners)
    options = {
        "student": {name: _tapped(model, specs[training.learners[name]]) for name, model in learners.items()},
        "terms": _terms(training, context, {**teachers, **learners}),
        "teachers": teachers_on_board,
        "balance": None if training.balance is None else training.balance.build(),
    }
    distiller: Distiller = construct(
        Distiller, options, path="objective", places={"terms": "objective", "teachers": "models", "students": "models"}
    )
    return distiller


def _on_the_board(training: TrainingSpec, specs: Mapping[str, ModelSpec]) -> list[str]:
    """The teachers whose outputs terms or other teachers read."""
    read = {source for name in training.teachers for source in specs[name].source.reads(specs[name])}
    return [name for name in training.teachers if name in read or training.reads(name)]


def _check_needs(teachers: Mapping[str, Teacher], specs: Mapping[str, ModelSpec], learners: Collection[str]) -> None:
    """Reject a teacher that reads a model which its class does not name, so that nothing runs it."""
    for name, teacher in teachers.items():
        for address in teacher.reads:
            source = source_of(address)
            if source in specs and source not in (*teachers, *learners):
                key = specs[name].source.key
                raise RecipeError(
                    f"models.{name} reads {address}, and its class does not name {source!r} among the models that it "
                    f"needs; give {type(teacher).__name__} a class method needs(options) that returns their names, as "
                    f"(options[{key!r}],)",
                    code="missing",
                    path=f"models.{name}",
                )


def _terms(training: TrainingSpec, context: TeacherContext, models: Mapping[str, nn.Module]) -> dict[str, Term]:
    terms = normalize_weights(training.terms) if training.normalized_weights else training.terms
    built = {}
    for name, term in terms.items():
        inputs = inputs_in_models(term.inputs, models, term.path)
        known = _known_classes(inputs, context) if term.classes is None else None
        restricted = term if known is None else replace(term, classes=known)
        built[name] = restricted.build(training.train, context.classes, inputs)
    return built


def _known_classes(inputs: Mapping[str, str], context: TeacherContext) -> list[str] | None:
    """The classes that the teacher of a term knows, where it does not know all."""
    known = None
    for argument, address in inputs.items():
        source = source_of(address)
        if argument.startswith("teacher") and address == f"{source}.logits" and source in context.specs:
            of_teacher = known_by(context.teacher(source))
            if of_teacher is not None:
                known = [context.classes[position] for position in of_teacher.classes]
    return known


def _tapped(model: nn.Module, spec: ModelSpec) -> Tapped:
    io = spec.io or ModelIO()
    arguments = io.arguments(model, spec.path)
    options = {**arguments, "taps": {**arguments["taps"], **added_taps(model)}, "detach_inputs": io.detach_inputs}
    tapped: Tapped = construct(Tapped, {"model": model, **options}, path=spec.path)
    return tapped


def _differentiated(training: TrainingSpec, specs: Mapping[str, ModelSpec]) -> set[str]:
    """The models that a loss differentiates, and those that such a teacher is made of."""
    whole = [name for name, spec in specs.items() if spec.has_weights]
    read = {
        source_of(address)
        for term in training.terms.values()
        if term.differentiates
        for address in term.inputs.values()
    }
    return {leaf for name in read & specs.keys() for leaf in made_of(name, specs, whole)}


def for_training(distiller: Distiller) -> Distiller:
    """The same, its models laid out for speed: convolutions are faster when channels lie together."""
    # Not the terms: a projection that is not sized yet has no layout.
    for module in (*distiller.students.values(), *distiller.teachers.values()):
        if isinstance(module, nn.Module) and not (module.training and _has_unsafe_convolution(module)):
            module.to(memory_format=torch.channels_last)
    return distiller


def _has_unsafe_convolution(module: nn.Module) -> bool:
    """Whether the gradient of a weight would be wrong with channels last.

    On processors without AVX-512, oneDNN writes past its memory for 1×1 convolutions with strides whose inputs have
    fewer channels than a vector has numbers (uxlfoundation/oneDNN#6035).
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX2" and any(
        isinstance(part, nn.Conv2d)
        and set(part.kernel_size) == {1}
        and set(part.stride) != {1}
        and part.in_channels // part.groups < 8
        for part in module.modules()
    )
