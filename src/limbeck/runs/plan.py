"""The trainings of a run: which models learn, from which rows and with which terms."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace

from limbeck.recipes.entry_spec import EntrySpec
from limbeck.recipes.model_sources import ModelSpec
from limbeck.recipes.options import construct
from limbeck.recipes.recipe import Recipe
from limbeck.recipes.sklearn_models import is_sklearn_model, with_full_batches
from limbeck.recipes.supervised_terms import hard_terms, supervised_terms
from limbeck.recipes.term_spec import Objective
from limbeck.runs.teachers import teachers_in_use
from limbeck.tasks import Task, TrainingRows
from limbeck.training.settings import Settings

__all__ = ["TrainingSpec", "control", "finetune", "peers", "student", "teacher_stage", "teacher_training", "trainings"]


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """One training: its place in the recipe and everything that decides its result but seed and weights.

    Args:
        stage: its name in the events and among the checkpoints.
        title: its name in messages.
        path: of its settings in the recipe.
        learners: name on the board -> section under ``models``. The first is called ``student``.
        teachers: the models that it needs beside the learners, each after all that it needs itself.
        train: its settings.
        learner_train: the settings of learners with an optimizer of their own, by name on the board.
        rows: its training rows.
        terms: by name.
        balance: how the terms are balanced, in addition to their weights.
        normalized_weights: whether the weights of the terms sum to 1 at every step.
        without_adapter: whether the student trains without its adapter.
        standalone: whether its only learner reads nothing but its own inputs and the labels.
    """

    stage: str
    title: str
    path: str
    learners: Mapping[str, str]
    teachers: tuple[str, ...]
    train: Settings
    rows: TrainingRows
    terms: Objective
    learner_train: Mapping[str, Settings] = field(default_factory=dict)
    balance: EntrySpec | None = None
    normalized_weights: bool = False
    without_adapter: bool = False
    standalone: bool = False

    def is_like(self, other: TrainingSpec) -> bool:
        """Whether another training differs only in its name, its seed and the weights that it begins from."""
        return (
            self.rows is other.rows
            and self.terms == other.terms
            and self.learners == other.learners
            and replace(self.train, seed=0) == replace(other.train, seed=0)
            and self.balance == other.balance
            and self.without_adapter == other.without_adapter
        )

    def reads(self, source: str) -> bool:
        """Whether a term reads this model itself, rather than one that needs it."""
        return any(source in term.sources for term in self.terms.values())


def peers(specs: Mapping[str, ModelSpec]) -> list[str]:
    """The models that train together with the student."""
    return [name for name, spec in specs.items() if spec.co_training is not None]


def judges(specs: Mapping[str, ModelSpec]) -> list[str]:
    """The models that the control keeps: they read outputs of the student, and no teacher has a part in them.

    Each trains together with the student, as a discriminator does, or is made of such models alone.
    """
    found = [name for name in peers(specs) if specs[name].input_sources]
    while taught := [name for name in found if not {"student", *found}.issuperset(specs[name].input_sources)]:
        found = [name for name in found if name not in taught]
    made_of_them = [
        name for name, spec in specs.items() if spec.needs and not spec.has_weights and set(spec.needs) <= set(found)
    ]
    return [*found, *made_of_them]


def teacher_stage(name: str) -> str:
    """The stage name of the training of a teacher."""
    return "teacher" if name == "teacher" else f"teacher_{name}"


def teacher_training(name: str, recipe: Recipe, task: Task) -> TrainingSpec | None:
    """The training of a teacher; None if it is not trained in this run.

    A teacher with an objective of its own is trained like a student, on the student's rows; or, if no term of it reads
    another model, on the labelled rows among them, like the control.

    Raises:
        RecipeError: if a model that it needs is not in the recipe, or needs itself.
    """
    spec = recipe.models[name]
    if spec.train is None:
        return None
    own, terms = spec.objective, spec.objective or {}
    if own is None:
        hard = task.fitted_hard if is_sklearn_model(spec) else task.scoring.hard
        rows, terms = task.teacher_rows, hard_terms(hard, task.main_output)
    else:
        is_taught = any(term.sources for term in own.values())
        rows = task.student_rows if is_taught else task.labelled_rows
    learners = {"student": name}
    return TrainingSpec(
        stage=teacher_stage(name),
        title=spec.path,
        path=f"{spec.path}.train",
        learners=learners,
        teachers=teachers_in_use(recipe.models, terms, learners),
        train=with_full_batches(spec, spec.train, rows),
        rows=rows,
        terms=terms,
        standalone=own is None,
    )


def student(recipe: Recipe, task: Task) -> TrainingSpec:
    """The training of the student and its peers with the whole objective.

    Raises:
        RecipeError: if a model that it needs is not in the recipe, or needs itself.
    """
    learners = {name: name for name in ("student", *peers(recipe.models))}
    return TrainingSpec(
        stage="student",
        title="the student",
        path="train",
        learners=learners,
        teachers=teachers_in_use(recipe.models, recipe.objective, learners),
        train=with_full_batches(recipe.student, recipe.train, task.student_rows),
        learner_train=_own_settings(recipe, learners),
        rows=task.student_rows,
        terms=recipe.objective,
        balance=recipe.balance,
    )


def _own_settings(recipe: Recipe, learners: Mapping[str, str]) -> dict[str, Settings]:
    """The settings of learners with an optimizer of their own."""
    own = {
        name: construct(
            how.settings,
            {"student": recipe.train},
            path=f"models.{name}.train",
            places={option.name: f"models.{name}.train.{option.name}" for option in fields(Settings)},
        )
        for name in learners
        if (how := recipe.models[name].co_training) is not None
    }
    return {name: settings for name, settings in own.items() if settings is not None}


def control(recipe: Recipe, task: Task) -> TrainingSpec:
    """The training of the control: the same student without a teacher, on labelled rows only.

    A generator keeps its discriminator: the models that judge the student train with the control as well.
    """
    kept = judges(recipe.models)
    return _hard_training(
        "control", "the control", "train", recipe.train, recipe, task, without_adapter=True, kept=kept
    )


def finetune(before: str, recipe: Recipe, task: Task) -> TrainingSpec | None:
    """The fine-tuning on hard labels after the training of the student or the control; None if there is none."""
    if recipe.train.finetune is None:
        return None
    train, without_adapter = Settings(**recipe.train.finetune), before == "control"
    return _hard_training(
        f"{before}_finetune", "the last stage", "train.finetune", train, recipe, task, without_adapter=without_adapter
    )


def _hard_training(
    stage: str,
    title: str,
    path: str,
    train: Settings,
    recipe: Recipe,
    task: Task,
    *,
    without_adapter: bool,
    kept: Collection[str] = (),
) -> TrainingSpec:
    """A training of the student on labelled rows, by terms that read no other model but those that are kept."""
    rows, terms = task.labelled_rows, supervised_terms(recipe.objective, recipe.student.adds, kept)
    terms = terms or hard_terms(task.scoring.hard, task.main_output)
    read = {source for term in terms.values() for source in term.sources}
    playing = {*read, *(other for name in read for other in recipe.models[name].needs)}
    learners = {"student": "student", **{name: name for name in peers(recipe.models) if name in playing}}
    return TrainingSpec(
        stage=stage,
        title=title,
        path=path,
        learners=learners,
        learner_train=_own_settings(recipe, learners),
        teachers=teachers_in_use(recipe.models, terms, learners, without_adapter=without_adapter),
        train=with_full_batches(recipe.student, train, rows),
        rows=rows,
        terms=terms,
        normalized_weights=not read,
        without_adapter=without_adapter,
    )


def trainings(recipe: Recipe, task: Task) -> Iterator[TrainingSpec]:
    """Every kind of training of a run, once, in an order in which teachers precede their students.

    Raises:
        RecipeError: if a model that one needs is not in the recipe, or needs itself.
    """
    whole = student(recipe, task)
    for name in whole.teachers:
        training = teacher_training(name, recipe, task)
        if training is not None:
            yield training
    yield whole
    if recipe.control:
        yield control(recipe, task)
    finish = finetune("student", recipe, task)
    if finish is not None:
        yield finish
