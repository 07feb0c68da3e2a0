"""Rejects trainings in which a model or term receives no gradient or no labels, before they start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from limbeck.core import Distiller, StepOutput
from limbeck.errors import RecipeError
from limbeck.recipes.adapters import Exits
from limbeck.recipes.model_sources import ModelSpec
from limbeck.runs.plan import TrainingSpec

__all__ = ["check_gradients", "check_signal"]

_labels = ("batch.target", "batch.labelled")


def check_signal(training: TrainingSpec, specs: Mapping[str, ModelSpec]) -> None:
    """Reject terms that read labels no row has, trainings without labels or a pretrained teacher, and unused exits.

    Raises:
        RecipeError: with the place in the recipe.
    """
    if not training.without_adapter:
        _check_exits(training, specs)
    if training.rows.labelled_only or bool(training.rows.rows.labelled.any()):
        return
    for name, term in training.terms.items():
        for address in term.addresses:
            if address in _labels and term.weight != 0:
                raise RecipeError(
                    f"{training.title}: the term {name!r} reads {address}, and none of its rows has a label; remove "
                    "the term, or give labels",
                    code="missing",
                    path=term.path,
                )
    if not any(_pretrained(training, specs)):
        raise RecipeError(
            f"{training.title}: none of its rows has a label, and every teacher consists of models that start to "
            "learn here; give a trained teacher, or labels",
            code="missing",
            path="data",
        )


def _pretrained(training: TrainingSpec, specs: Mapping[str, ModelSpec]) -> Iterator[bool]:
    """For every model with weights in a training, whether it is trained before this training starts."""
    learners = set(training.learners.values())
    for name in (*training.teachers, *learners):
        spec = specs[name]
        if spec.has_weights:
            yield name not in learners or not spec.weighted.random_init(spec)


def _check_exits(training: TrainingSpec, specs: Mapping[str, ModelSpec]) -> None:
    addresses = [address for term in training.terms.values() for address in term.addresses]
    for name, section in training.learners.items():
        spec = specs[section]
        if not isinstance(spec.adapter, Exits):
            continue
        for given in spec.adapter_options["exits"]:
            if not any(address.startswith(f"{name}.{given}.") for address in addresses):
                raise RecipeError.at(
                    f"{spec.path}.exits.{given}",
                    "no term reads it, so it would not learn; remove it, or give "
                    "the terms of exits, as in own: {terms: own_teacher}",
                    code="no_effect",
                )


def check_gradients(distiller: Distiller, output: StepOutput) -> None:
    """Reject terms without a gradient and learners that receive none, given the gradients of one step.

    Raises:
        RecipeError: with the name of the term or the learner.
    """
    for name, term in distiller.terms.items():
        found = output.terms[name]
        # A term between rows is constant where the rows of the dry run give it no pair.
        silent = term.relational and found.count == 0
        if not silent and not found.sum.requires_grad and not (term.is_constant and term.weight == 0):
            read = sorted(set(term.inputs.values()))
            raise RecipeError(
                f"objective.{name} reads {read}, and its value does not require grad: none of these learns here, or "
                "the term or the loss itself detaches it. It has no effect: remove it, or give it weight 0",
                code="no_effect",
                path=f"objective.{name}",
            )
    if any(found.count == 0 and not found.sum.requires_grad for found in output.terms.values()):
        return
    for name, student in distiller.students.items():
        if all(p.grad is None for p in student.parameters() if p.requires_grad):
            raise RecipeError(
                f"models.{name} learns here, but no term gives it a gradient: those that read it detach it; give it "
                f"one, as in {{loss: cross_entropy, inputs: {{student: {name}.logits}}}}",
                code="no_effect",
                path=f"models.{name}",
            )
