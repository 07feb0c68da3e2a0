"""From a resolved recipe to the distiller of one training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from limbeck import registry
from limbeck.core import Distiller, Tapped, Term, source_of
from limbeck.recipes.adapters import added_taps
from limbeck.recipes.model_io import reading, term_in_models
from limbeck.recipes.model_sources import TeacherContext, has_weights, model_source_of
from limbeck.recipes.options import construct
from limbeck.recipes.terms import build_term, is_read, normalize_weights
from limbeck.runs.teachers import made_of, teachers_in_use
from limbeck.teachers.map_classes import known_by

__all__ = ["build_distiller", "for_training"]

Spec = Mapping[str, Any]


def build_distiller(
    recipe: Spec,
    terms: Mapping[str, Spec],
    learners: Mapping[str, tuple[str, nn.Module]],
    teachers: Mapping[str, nn.Module],
    *,
    classes: Sequence[str] = (),
    balance: Spec | None = None,
    train: Spec | None = None,
    normalized_weights: bool = False,
    cached: Collection[str] = (),
) -> Distiller:
    """The distiller of one training.

    Args:
        recipe: the resolved recipe.
        terms: resolved terms, by name.
        learners: name on the board -> section under ``models`` and the model itself.
        teachers: the models that need no other, by name.
        classes: of the task.
        balance: how the terms are weighed beside their own weights.
        train: its settings; those at the top of the recipe by default.
        normalized_weights: whether the weights of the terms are divided by their sum.
        cached: the names of the teachers whose outputs the batch brings along.
    """
    students = {
        name: _tapped(model, recipe["models"][section], f"models.{section}")
        for name, (section, model) in learners.items()
    }
    models = {**teachers, **{name: model for name, (_, model) in learners.items()}}
    weighed, train = (
        normalize_weights(terms) if normalized_weights else terms,
        recipe["train"] if train is None else train,
    )
    placed = {name: term_in_models(term, models, f"objective.{name}") for name, term in weighed.items()}
    built = {name: build_term(term, f"objective.{name}", train, classes) for name, term in placed.items()}
    needed = teachers_in_use(recipe, terms, learners)
    specs = [recipe["models"][name] for name in needed]
    read = {source for spec in specs for source in model_source_of(spec).reads(spec)}
    used = [name for name in needed if name in read or is_read(name, terms)]
    context = TeacherContext(
        recipe=recipe,
        classes=classes,
        models=teachers,
        learners=tuple(learners),
        differentiated=_differentiated(built, recipe),
        cached=cached,
    )
    for name, known in _restricted(built, context).items():
        built[name] = build_term({**placed[name], "classes": known}, f"objective.{name}", train, classes)
    options = {
        "student": students,
        "terms": built,
        "teachers": {name: context.teacher(name) for name in used},
        "balance": None if balance is None else _balance(balance),
    }
    distiller: Distiller = construct(Distiller, options, path="objective")
    return distiller


def _restricted(terms: Mapping[str, Term], context: TeacherContext) -> dict[str, list[str]]:
    """The terms whose teacher knows some of the classes, and these; not those that name classes themselves."""
    found = {}
    for name, term in terms.items():
        for argument, address in term.inputs.items():
            source = source_of(address)
            if argument.startswith("teacher") and address == f"{source}.logits" and source in context.recipe["models"]:
                known = known_by(context.teacher(source))
                if known is not None and term.classes is None:
                    found[name] = [context.classes[place] for place in known.classes]
    return found


def _tapped(model: nn.Module, spec: Spec, path: str) -> Tapped:
    read = reading(model, spec, path)
    taps = {**read["taps"], **added_taps(model)}
    tapped: Tapped = construct(Tapped, {"model": model, **read, "taps": taps}, path=path)
    return tapped


def _balance(spec: Spec) -> Any:
    entry = construct(registry.lookup, {"kind": "balance", "name": spec["use"]}, path="balance")
    return construct(entry, {key: value for key, value in spec.items() if key != "use"}, path="balance")


def _differentiated(terms: Mapping[str, Term], recipe: Spec) -> set[str]:
    """The models that a loss differentiates, and those that such a teacher is made of."""
    whole = [name for name, spec in recipe["models"].items() if has_weights(spec)]
    read = {source_of(a) for term in terms.values() if term.differentiates for a in term.inputs.values()}
    return {leaf for name in read & recipe["models"].keys() for leaf in made_of(name, recipe, whole)}


def for_training(distiller: Distiller) -> Distiller:
    """The same, its models laid out for speed: convolutions are faster when channels lie together."""
    # Not the terms: a projection that is not sized yet has no layout.
    for module in (*distiller.students.values(), *distiller.teachers.values()):
        if isinstance(module, nn.Module):
            module.to(memory_format=torch.channels_last)
    return distiller
