"""What a run trains: every model that learns, from which rows and by which terms."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from limbeck.core import Distiller
from limbeck.recipes.build import build_distiller
from limbeck.recipes.equipment import needed
from limbeck.recipes.fitted import filled
from limbeck.recipes.forms import form_of
from limbeck.recipes.teachers import teachers_in_use
from limbeck.recipes.terms import is_taught, plain_term, supervised_terms
from limbeck.recipes.together import own_settings, trains_together
from limbeck.tasks import Task, TrainingRows

__all__ = ["Lesson", "control", "last", "lessons", "peers", "student", "teacher_stage", "teaching"]


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One training: its place in the recipe and everything that decides its result but seed and weights.

    Args:
        stage: its name in the events and among the checkpoints.
        title: its name in messages.
        path: where its settings stand in the recipe.
        learners: name on the board -> section under ``models``. The first is called ``student``.
        train: its settings.
        own: those of learners with an optimizer of their own, by name on the board.
        rows: what it learns from.
        terms: resolved terms, by name.
        balance: how these are weighed beside their own weights.
        shared: these sum to 1 at every step.
        bare: the student learns without its equipment.
        alone: the one learner reads its inputs and the labels, whatever other models read.
    """

    stage: str
    title: str
    path: str
    learners: Mapping[str, str]
    train: Mapping[str, Any]
    rows: TrainingRows
    terms: Mapping[str, Any]
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    balance: Mapping[str, Any] | None = None
    shared: bool = False
    bare: bool = False
    alone: bool = False

    def teachers(self, recipe: Mapping[str, Any]) -> tuple[str, ...]:
        """The models that it needs beside the learners, each after all that it needs itself.

        Raises:
            RecipeError: if one is not in the recipe, or needs itself.
        """
        sections = {name: recipe["models"][name] for name in self.learners.values()}
        beside = [
            (other, f"models.{name}.{form_of(spec).key}")
            for name, spec in sections.items()
            for other in form_of(spec).needs(spec)
        ]
        if not self.bare:
            beside += [other for name, spec in sections.items() for other in needed(name, spec)]
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
            shared=self.shared,
            cached=cached,
        )


def peers(recipe: Mapping[str, Any]) -> list[str]:
    """The models that train together with the student."""
    return [name for name, spec in recipe["models"].items() if trains_together(spec.get("train"))]


def teacher_stage(name: str) -> str:
    """How the training of a teacher is called."""
    return "teacher" if name == "teacher" else f"teacher_{name}"


def teaching(name: str, recipe: Mapping[str, Any], task: Task) -> Lesson | None:
    """How a teacher learns; None if it comes as it is.

    One that has an objective of its own is taught like a student, from the student's rows; or, if nobody teaches it,
    from those of them that have labels, like the control.
    """
    spec = recipe["models"][name]
    if spec.get("train") is None or trains_together(spec["train"]):
        return None
    own = spec["objective"]
    rows = task.teacher_rows if own is None else task.student_rows if is_taught(own) else task.labelled_rows
    return Lesson(
        stage=teacher_stage(name),
        title=f"models.{name}",
        path=f"models.{name}.train",
        learners={"student": name},
        train=filled(spec, spec["train"], rows),
        rows=rows,
        terms={"hard": plain_term(task.scoring.loss)} if own is None else own,
        alone=own is None,
    )


def student(recipe: Mapping[str, Any], task: Task) -> Lesson:
    """The student's, with its peers: the whole objective."""
    others = peers(recipe)
    own = {name: own_settings(recipe["models"][name]["train"], recipe["train"]) for name in others}
    return Lesson(
        stage="student",
        title="the student",
        path="train",
        learners={name: name for name in ("student", *others)},
        train=filled(recipe["models"]["student"], recipe["train"], task.student_rows),
        own={name: settings for name, settings in own.items() if settings is not None},
        rows=task.student_rows,
        terms=recipe["objective"],
        balance=recipe["balance"],
    )


def control(recipe: Mapping[str, Any], task: Task) -> Lesson:
    """The same student without a teacher, on labelled rows alone."""
    return Lesson(
        stage="control",
        title="the control",
        path="train",
        learners={"student": "student"},
        train=filled(recipe["models"]["student"], recipe["train"], task.labelled_rows),
        rows=task.labelled_rows,
        terms=supervised_terms(recipe, task.scoring.loss),
        shared=True,
        bare=True,
    )


def last(before: str, recipe: Mapping[str, Any], task: Task) -> Lesson | None:
    """The last stage on hard labels, after the student's or the control's; None if there is none."""
    train = recipe["train"]["finetune"]
    if train is None:
        return None
    return Lesson(
        stage=f"{before}_finetune",
        title="the last stage",
        path="train.finetune",
        learners={"student": "student"},
        train=train,
        rows=task.labelled_rows,
        terms=supervised_terms(recipe, task.scoring.loss),
        shared=True,
        bare=before == "control",
    )


def lessons(recipe: Mapping[str, Any], task: Task) -> Iterator[Lesson]:
    """Every kind of training that a run has, once."""
    whole = student(recipe, task)
    for name in whole.teachers(recipe):
        taught = teaching(name, recipe, task)
        if taught is not None:
            yield taught
    yield whole
    if recipe["control"]:
        yield control(recipe, task)
    finish = last("student", recipe, task)
    if finish is not None:
        yield finish
