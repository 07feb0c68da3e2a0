"""The trainings of a run: which models learn, from which rows and with which terms."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from limbeck.core import Distiller
from limbeck.recipes.adapters import adapter_needs
from limbeck.recipes.co_training import is_co_trained, learner_settings
from limbeck.recipes.model_sources import model_source_of
from limbeck.recipes.sklearn_models import is_sklearn_model, with_full_batches
from limbeck.recipes.terms import hard_terms, is_taught, supervised_terms
from limbeck.runs.build import build_distiller
from limbeck.runs.teachers import teachers_in_use
from limbeck.tasks import Task, TrainingRows

__all__ = ["TrainingSpec", "control", "finetune", "peers", "student", "teacher_stage", "teacher_training", "trainings"]


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """One training: its place in the recipe and everything that decides its result but seed and weights.

    Args:
        stage: its name in the events and among the checkpoints.
        title: its name in messages.
        path: of its settings in the recipe.
        learners: name on the board -> section under ``models``. The first is called ``student``.
        train: its settings.
        learner_train: the settings of learners with an optimizer of their own, by name on the board.
        rows: its training rows.
        terms: resolved terms, by name.
        balance: how the terms are balanced, in addition to their weights.
        normalized_weights: whether the weights of the terms sum to 1 at every step.
        without_adapter: whether the student trains without its adapter.
        standalone: whether its only learner reads nothing but its own inputs and the labels.
    """

    stage: str
    title: str
    path: str
    learners: Mapping[str, str]
    train: Mapping[str, Any]
    rows: TrainingRows
    terms: Mapping[str, Any]
    learner_train: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    balance: Mapping[str, Any] | None = None
    normalized_weights: bool = False
    without_adapter: bool = False
    standalone: bool = False

    def teachers(self, recipe: Mapping[str, Any]) -> tuple[str, ...]:
        """The models that it needs beside the learners, each after all that it needs itself.

        Raises:
            RecipeError: if one is not in the recipe, or needs itself.
        """
        sections = {name: recipe["models"][name] for name in self.learners.values()}
        beside = [
            (other, f"models.{name}.{model_source_of(spec).key}")
            for name, spec in sections.items()
            for other in model_source_of(spec).needs(spec)
        ]
        if not self.without_adapter:
            beside += [other for name, spec in sections.items() for other in adapter_needs(name, spec)]
        return teachers_in_use(recipe, self.terms, self.learners, beside)

    def distiller(
        self,
        recipe: Mapping[str, Any],
        learners: Mapping[str, nn.Module],
        teachers: Mapping[str, nn.Module],
        *,
        classes: Sequence[str] = (),
        cached: Collection[str] = (),
    ) -> Distiller:
        """One step of it.

        Args:
            recipe: the resolved recipe.
            learners: by their name on the board.
            teachers: models with weights of their own, by section.
            classes: of the task.
            cached: those of them whose outputs the batch brings along.
        """
        learning = {name: (section, learners[name]) for name, section in self.learners.items()}
        return build_distiller(
            recipe,
            self.terms,
            learning,
            teachers,
            classes=classes,
            balance=self.balance,
            train=self.train,
            normalized_weights=self.normalized_weights,
            cached=cached,
        )


def peers(recipe: Mapping[str, Any]) -> list[str]:
    """The models that train together with the student."""
    return [name for name, spec in recipe["models"].items() if is_co_trained(spec.get("train"))]


def teacher_stage(name: str) -> str:
    """The stage name of the training of a teacher."""
    return "teacher" if name == "teacher" else f"teacher_{name}"


def teacher_training(name: str, recipe: Mapping[str, Any], task: Task) -> TrainingSpec | None:
    """The training of a teacher; None if it is not trained in this run.

    A teacher with an objective of its own is trained like a student, on the student's rows; or, if no term of it reads
    another model, on the labelled rows among them, like the control.
    """
    spec = recipe["models"][name]
    if spec.get("train") is None or is_co_trained(spec["train"]):
        return None
    own = spec["objective"]
    hard = task.fitted_hard if is_sklearn_model(spec) else task.scoring.hard
    rows = task.teacher_rows if own is None else task.student_rows if is_taught(own) else task.labelled_rows
    return TrainingSpec(
        stage=teacher_stage(name),
        title=f"models.{name}",
        path=f"models.{name}.train",
        learners={"student": name},
        train=with_full_batches(spec, spec["train"], rows),
        rows=rows,
        terms=hard_terms(hard, task.main_output) if own is None else own,
        standalone=own is None,
    )


def student(recipe: Mapping[str, Any], task: Task) -> TrainingSpec:
    """The training of the student and its peers with the whole objective."""
    others = peers(recipe)
    own = {name: learner_settings(recipe["models"][name]["train"], recipe["train"]) for name in others}
    return TrainingSpec(
        stage="student",
        title="the student",
        path="train",
        learners={name: name for name in ("student", *others)},
        train=with_full_batches(recipe["models"]["student"], recipe["train"], task.student_rows),
        learner_train={name: settings for name, settings in own.items() if settings is not None},
        rows=task.student_rows,
        terms=recipe["objective"],
        balance=recipe["balance"],
    )


def control(recipe: Mapping[str, Any], task: Task) -> TrainingSpec:
    """The training of the control: the same student without a teacher, on labelled rows only."""
    return TrainingSpec(
        stage="control",
        title="the control",
        path="train",
        learners={"student": "student"},
        train=with_full_batches(recipe["models"]["student"], recipe["train"], task.labelled_rows),
        rows=task.labelled_rows,
        terms=supervised_terms(recipe, task.scoring.hard, task.main_output),
        normalized_weights=True,
        without_adapter=True,
    )


def finetune(before: str, recipe: Mapping[str, Any], task: Task) -> TrainingSpec | None:
    """The fine-tuning on hard labels after the training of the student or the control; None if there is none."""
    train = recipe["train"]["finetune"]
    if train is None:
        return None
    return TrainingSpec(
        stage=f"{before}_finetune",
        title="the last stage",
        path="train.finetune",
        learners={"student": "student"},
        train=train,
        rows=task.labelled_rows,
        terms=supervised_terms(recipe, task.scoring.hard, task.main_output),
        normalized_weights=True,
        without_adapter=before == "control",
    )


def trainings(recipe: Mapping[str, Any], task: Task) -> Iterator[TrainingSpec]:
    """Every kind of training of a run, once, in an order in which teachers precede their students."""
    whole = student(recipe, task)
    for name in whole.teachers(recipe):
        training = teacher_training(name, recipe, task)
        if training is not None:
            yield training
    yield whole
    if recipe["control"]:
        yield control(recipe, task)
    finish = finetune("student", recipe, task)
    if finish is not None:
        yield finish
