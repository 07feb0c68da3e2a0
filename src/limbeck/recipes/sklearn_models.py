"""Models of a recipe that are fitted at once: what in a recipe has no meaning for them is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace

from torch import nn

from limbeck.errors import RecipeError
from limbeck.measure import ClassScoring
from limbeck.models import EstimatorModel, sklearn_part
from limbeck.models.sklearn_models import SKLEARN_MODELS
from limbeck.recipes.model_sources import ModelSpec
from limbeck.recipes.recipe import Recipe
from limbeck.tasks import Task, TrainingRows
from limbeck.training.settings import Settings

__all__ = ["check_sklearn_models", "check_sklearn_sections", "is_sklearn_model", "sklearn_notes", "with_full_batches"]


def is_sklearn_model(spec: ModelSpec) -> bool:
    """Whether a section builds a model that is fitted at once."""
    return spec.options.get("use") in SKLEARN_MODELS


def check_sklearn_sections(recipe: Recipe) -> None:
    """Refuse what has no meaning for a model that is fitted at once.

    Raises:
        RecipeError: with the place in the recipe.
    """
    for name, spec in recipe.models.items():
        if is_sklearn_model(spec):
            _check_section(spec, recipe.train if name == "student" else spec.train)
    if is_sklearn_model(recipe.student):
        _check_student(recipe)


def with_full_batches(spec: ModelSpec, train: Settings, rows: TrainingRows) -> Settings:
    """The settings of a training; of a model that is fitted at once, with batches that any number of rows fill.

    It is tried on one batch, and no recipe says how large that is.
    """
    if not is_sklearn_model(spec):
        return train
    known = rows.rows.labelled
    walked = int((~known).sum()) or len(known)
    # A power of two, which processes side by side can share; and one row with a label beside one without.
    return replace(train, batch_size=min(train.batch_size, max(1 << (walked.bit_length() - 1), 2)))


def _check_section(spec: ModelSpec, train: Settings | None) -> None:
    told = f"{spec.path} is fitted at once, in one pass over its rows"
    if spec.co_training is not None:
        raise RecipeError(f"{told}; it cannot train together with the student", code="unsupported", path=spec.path)
    if train is not None:
        _check_train(train, "train" if spec.name == "student" else f"{spec.path}.train", told)
        if spec.options["checkpoint"] is not None:
            raise RecipeError.at(
                f"{spec.path}.checkpoint", f"{told}, and keeps nothing of a checkpoint; remove it", code="no_effect"
            )
    if spec.adapter is not None:
        raise RecipeError(f"{told}; remove {spec.adapter.key}", code="conflict", path=f"{spec.path}.{spec.adapter.key}")


def _check_student(recipe: Recipe) -> None:
    told, data = "the student is fitted at once, in one pass over its rows", recipe.data.settings
    for spec in recipe.models.values():
        if spec.co_training is not None:
            raise RecipeError.at(spec.path, f"{told}; nothing can train together with it", code="unsupported")
    for section, given in (("balance", recipe.balance), ("data.class_balance", data["class_balance"])):
        if given:
            raise RecipeError.at(section, f"{told}; remove it", code="unsupported")
    copies = (data.get("augment") or {}).get("copies")
    if copies and not any(spec.objective for spec in recipe.models.values()):
        raise RecipeError.at(
            "data.augment",
            f"{told} as they are, and nobody else would learn from the copies; remove it",
            code="no_effect",
        )


def _check_train(train: Settings, path: str, told: str) -> None:
    defaults = asdict(Settings())
    for option, value in asdict(train).items():
        if option != "seed" and value != defaults[option] and (option, value) != ("precision", "float32"):
            raise RecipeError(
                f"{path}.{option} is {value!r}: {told}; leave all but the seed out",
                code="no_effect",
                path=f"{path}.{option}",
            )


def check_sklearn_models(recipe: Recipe, models: Mapping[str, nn.Module], task: Task) -> None:
    """Refuse fitted models where rows have several classes, and one that is to go on learning.

    Raises:
        RecipeError: with the place in the recipe.
    """
    for spec in recipe.models.values():
        if (
            is_sklearn_model(spec)
            and isinstance(task.scoring, ClassScoring)
            and task.scoring.label_kind == "multi_label"
        ):
            raise RecipeError(
                f"{spec.path} is fitted to rows of one class, and these may have several; take another model, as in "
                "{use: bag_of_words}",
                code="unsupported",
                path=spec.path,
            )
    if any(isinstance(module, EstimatorModel) for module in models["student"].modules()):
        raise RecipeError(
            "models.student is an estimator, which this run can neither train nor export; give it as a teacher, and "
            "take a student such as {use: decision_tree} or {use: mlp}",
            code="unsupported",
            path="models.student",
        )
    part = sklearn_part(models["student"])
    if part is not None and not is_sklearn_model(recipe.student):
        raise RecipeError(
            "models.student was fitted at once, and cannot go on from there; name it by use",
            code="unsupported",
            path="models.student",
        )


def sklearn_notes(recipe: Recipe, task: Task) -> Iterator[str]:
    """Which models see nothing of the changes that every view of a row has for others."""
    for spec in recipe.models.values():
        if is_sklearn_model(spec) and task.num_views is None:
            yield f"{spec.path} is fitted to the rows as they are; data.augment changes them for other models alone"
