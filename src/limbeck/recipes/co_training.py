"""Models that are trained together with the student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.errors import RecipeError
from limbeck.recipes.options import resolve_options

__all__ = ["TOGETHER", "is_co_trained", "learner_settings", "resolve_co_training"]

# The value of `train` for such a model, or a key of it beside settings of its own.
TOGETHER = "together"


def _options(
    *,
    together: bool,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    optimizer: str | None = None,
    optimizer_options: dict[str, Any] | None = None,
) -> None: ...


def is_co_trained(train: Any) -> bool:
    """Whether a section ``train`` is that of such a model."""
    return train == TOGETHER or (isinstance(train, Mapping) and TOGETHER in train)


def resolve_co_training(train: Any, path: str) -> Any:
    """The section ``train`` of such a model: what it does not give is as the student has it.

    Raises:
        RecipeError: with the place in the recipe.
    """
    if train == TOGETHER:
        return TOGETHER
    found = resolve_options(_options, train, path=path, name=TOGETHER)
    if not found[TOGETHER]:
        raise RecipeError(f"{path}.{TOGETHER} is false; leave it out, or write true")
    own = {option: value for option, value in found.items() if value is not None}
    return TOGETHER if own == {TOGETHER: True} else own


def learner_settings(train: Any, student: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of such a model's own optimizer, from its section and the student's; None if it has none."""
    if train == TOGETHER:
        return None
    own = {option: value for option, value in train.items() if option != TOGETHER}
    # The options of one optimizer are not those of another.
    options: dict[str, Any] = {"optimizer_options": {}} if "optimizer" in own else {}
    return {**student, **options, **own}
