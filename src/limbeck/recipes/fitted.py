"""Models of a recipe that are fitted at once: what in a recipe has no meaning for them is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from limbeck.errors import RecipeError
from limbeck.recipes.equipment import equipment_of
from limbeck.recipes.sections import resolve_train
from limbeck.recipes.together import trains_together
from limbeck.students import fitted_part
from limbeck.students.fitted_models import FITTED

__all__ = ["check_fitted", "check_fitted_models", "is_fitted"]


def is_fitted(spec: Mapping[str, Any]) -> bool:
    """Whether a resolved section builds a model that is fitted at once."""
    return spec.get("use") in FITTED


def check_fitted(recipe: Mapping[str, Any]) -> None:
    """Refuse what has no meaning for a model that is fitted at once.

    Raises:
        RecipeError: with the place in the resolved recipe.
    """
    for name, spec in recipe["models"].items():
        if not is_fitted(spec):
            continue
        told, worn = f"models.{name} is fitted at once, in one pass over its rows", equipment_of(spec)
        if recipe["data"].get("multi_label"):
            raise RecipeError(
                f"models.{name} is fitted to rows of one class, and these may have several; take another model, as in "
                "{use: bag_of_words}"
            )
        if name == "student":
            _check_train(recipe["train"], "train", told)
        elif trains_together(spec["train"]):
            raise RecipeError(f"{told}; it cannot train together with the student")
        elif spec["train"] is not None:
            _check_train(spec["train"], f"models.{name}.train", told)
        if worn is not None:
            raise RecipeError(f"{told}; remove {worn.key}")
    if not is_fitted(recipe["models"]["student"]):
        return
    told = "the student is fitted at once, in one pass over its rows"
    for other, spec in recipe["models"].items():
        if trains_together(spec.get("train")):
            raise RecipeError(f"models.{other}: {told}; nothing can train together with it")
    for section, given in (("balance", recipe["balance"]), ("data.class_balance", recipe["data"]["class_balance"])):
        if given:
            raise RecipeError(f"{section}: {told}; remove it")


def _check_train(train: Mapping[str, Any], path: str, told: str) -> None:
    plain = resolve_train({}, path)
    for option, value in train.items():
        if option != "seed" and value != plain[option] and (option, value) != ("precision", "float32"):
            raise RecipeError(f"{path}.{option} is {value!r}: {told}; leave all but the seed out")


def check_fitted_models(recipe: Mapping[str, Any], models: Mapping[str, nn.Module]) -> None:
    """Refuse a fitted model that is to go on learning.

    Raises:
        RecipeError: with the place in the recipe.
    """
    part = fitted_part(models["student"])
    if part is not None and not is_fitted(recipe["models"]["student"]):
        raise RecipeError("models.student was fitted at once, and cannot go on from there; name it by use")
