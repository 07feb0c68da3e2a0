"""Models of a recipe that are fitted at once: what in a recipe has no meaning for them is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from limbeck.errors import RecipeError
from limbeck.measure import ClassScoring
from limbeck.models import EstimatorModel, sklearn_part
from limbeck.models.sklearn_models import SKLEARN_MODELS
from limbeck.recipes.adapters import adapter_of
from limbeck.recipes.co_training import is_co_trained
from limbeck.recipes.sections import resolve_train
from limbeck.tasks import Task, TrainingRows

__all__ = ["check_sklearn_models", "check_sklearn_sections", "is_sklearn_model", "sklearn_notes", "with_full_batches"]


def is_sklearn_model(spec: Mapping[str, Any]) -> bool:
    """Whether a resolved section builds a model that is fitted at once."""
    return spec.get("use") in SKLEARN_MODELS


def check_sklearn_sections(recipe: Mapping[str, Any]) -> None:
    """Refuse what has no meaning for a model that is fitted at once.

    Raises:
        RecipeError: with the place in the resolved recipe.
    """
    for name, spec in recipe["models"].items():
        if is_sklearn_model(spec):
            _check_section(name, spec, recipe)
    if is_sklearn_model(recipe["models"]["student"]):
        _check_student(recipe)


def with_full_batches(spec: Mapping[str, Any], train: Mapping[str, Any], rows: TrainingRows) -> Mapping[str, Any]:
    """The settings of a training; of a model that is fitted at once, with batches that any number of rows fill.

    It is tried on one batch, and no recipe says how large that is.
    """
    if not is_sklearn_model(spec):
        return train
    known = rows.rows.labelled
    walked = int((~known).sum()) or len(known)
    # A power of two, which processes side by side can share; and one row with a label beside one without.
    return {**train, "batch_size": min(train["batch_size"], max(1 << (walked.bit_length() - 1), 2))}


def _check_section(name: str, spec: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    told, adapter = f"models.{name} is fitted at once, in one pass over its rows", adapter_of(spec)
    train, path = (recipe["train"], "train") if name == "student" else (spec["train"], f"models.{name}.train")
    if is_co_trained(train):
        raise RecipeError(f"{told}; it cannot train together with the student")
    if train is not None:
        _check_train(train, path, told)
        if spec["checkpoint"] is not None:
            raise RecipeError(f"models.{name}.checkpoint: {told}, and keeps nothing of a checkpoint; remove it")
    if adapter is not None:
        raise RecipeError(f"{told}; remove {adapter.key}")


def _check_student(recipe: Mapping[str, Any]) -> None:
    told, data = "the student is fitted at once, in one pass over its rows", recipe["data"]
    for other, spec in recipe["models"].items():
        if is_co_trained(spec.get("train")):
            raise RecipeError(f"models.{other}: {told}; nothing can train together with it")
    for section, given in (("balance", recipe["balance"]), ("data.class_balance", data["class_balance"])):
        if given:
            raise RecipeError(f"{section}: {told}; remove it")
    copies = (data.get("augment") or {}).get("copies")
    if copies and not any(spec.get("objective") for spec in recipe["models"].values()):
        raise RecipeError(f"data.augment: {told} as they are, and nobody else would learn from the copies; remove it")


def _check_train(train: Mapping[str, Any], path: str, told: str) -> None:
    plain = resolve_train({}, path)
    for option, value in train.items():
        if option != "seed" and value != plain[option] and (option, value) != ("precision", "float32"):
            raise RecipeError(f"{path}.{option} is {value!r}: {told}; leave all but the seed out")


def check_sklearn_models(recipe: Mapping[str, Any], models: Mapping[str, nn.Module], task: Task) -> None:
    """Refuse fitted models where rows have several classes, and one that is to go on learning.

    Raises:
        RecipeError: with the place in the recipe.
    """
    for name, spec in recipe["models"].items():
        if (
            is_sklearn_model(spec)
            and isinstance(task.scoring, ClassScoring)
            and task.scoring.label_kind == "multi_label"
        ):
            raise RecipeError(
                f"models.{name} is fitted to rows of one class, and these may have several; take another model, as in "
                "{use: bag_of_words}"
            )
    if any(isinstance(module, EstimatorModel) for module in models["student"].modules()):
        raise RecipeError(
            "models.student is an estimator, which this run can neither train nor export; give it as a teacher, and "
            "take a student such as {use: decision_tree} or {use: mlp}"
        )
    part = sklearn_part(models["student"])
    if part is not None and not is_sklearn_model(recipe["models"]["student"]):
        raise RecipeError("models.student was fitted at once, and cannot go on from there; name it by use")


def sklearn_notes(recipe: Mapping[str, Any], task: Task) -> Iterator[str]:
    """Which models see nothing of the changes that every view of a row has for others."""
    for name, spec in recipe["models"].items():
        if is_sklearn_model(spec) and task.num_views is None:
            yield f"models.{name} is fitted to the rows as they are; data.augment changes them for other models alone"
