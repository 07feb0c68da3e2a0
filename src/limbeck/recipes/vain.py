"""Trainings in which something could learn nothing, refused before they begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from limbeck.core import Distiller, StepOutput
from limbeck.errors import RecipeError
from limbeck.recipes.equipment import Exits, equipment_of
from limbeck.recipes.forms import has_weights, own_form
from limbeck.recipes.lessons import Lesson
from limbeck.recipes.terms import build_term

__all__ = ["check_gradients", "check_knowledge"]

_labels = ("batch.target", "batch.labelled")


def check_knowledge(lesson: Lesson, recipe: Mapping[str, Any]) -> None:
    """Refuse terms on labels where no row has one, a training without anybody who knows a class, and exits unread.

    Raises:
        RecipeError: with the place in the recipe.
    """
    if not lesson.bare:
        _check_exits(lesson, recipe)
    if lesson.rows.labelled_only or bool(lesson.rows.rows.labelled.any()):
        return
    for name, spec in lesson.terms.items():
        for address in build_term(spec, f"objective.{name}").addresses:
            if address in _labels and spec["weight"] != 0:
                raise RecipeError(
                    f"{lesson.title}: the term {name!r} reads {address}, and none of its rows has a label; leave the "
                    "term out, or give labels"
                )
    if not any(_known_by(lesson, recipe)):
        raise RecipeError(
            f"{lesson.title}: none of its rows has a label, and every teacher is made of what begins to learn here; "
            "give a teacher that was trained, or labels"
        )


def _known_by(lesson: Lesson, recipe: Mapping[str, Any]) -> Iterator[bool]:
    """Of every model with weights in a training, whether it knows something before that begins."""
    models = recipe["models"]
    learners = set(lesson.learners.values())
    for name in (*lesson.teachers(recipe), *learners):
        if has_weights(models[name]):
            yield name not in learners or not own_form(models[name]).is_drawn(models[name])


def _check_exits(lesson: Lesson, recipe: Mapping[str, Any]) -> None:
    for name, section in lesson.learners.items():
        spec = recipe["models"][section]
        if not isinstance(equipment_of(spec), Exits):
            continue
        read = [a for term, one in lesson.terms.items() for a in build_term(one, f"objective.{term}").addresses]
        for given in spec["exits"]:
            if not any(address.startswith(f"{name}.{given}.") for address in read):
                raise RecipeError(
                    f"models.{section}.exits.{given}: no term reads it, so it would not learn; leave it out, or give "
                    "the terms of exits, as in own: {terms: own_teacher}"
                )


def check_gradients(distiller: Distiller, output: StepOutput) -> None:
    """Refuse terms that move nothing, and learners that nothing moves. Gradients are those of one step.

    Raises:
        RecipeError: with the name of the term or the learner.
    """
    for name, term in distiller.terms.items():
        found = output.terms[name]
        # A term between rows is a constant where these few give it no pair.
        silent = term.relational and found.count == 0
        if not silent and not found.sum.requires_grad and not (term.is_constant and term.weight == 0):
            read = sorted(set(term.inputs.values()))
            raise RecipeError(
                f"objective.{name} reads {read}, and its value does not require grad: none of these learns here, or "
                "the term or the loss itself detaches it. It would teach nobody; leave it out, or give it weight 0"
            )
    if any(found.count == 0 and not found.sum.requires_grad for found in output.terms.values()):
        return
    for name, student in distiller.students.items():
        if all(p.grad is None for p in student.parameters() if p.requires_grad):
            raise RecipeError(
                f"models.{name} learns here, but no term gives it a gradient: those that read it detach it; give it "
                f"one, as in {{loss: cross_entropy, inputs: {{student: {name}.logits}}}}"
            )
