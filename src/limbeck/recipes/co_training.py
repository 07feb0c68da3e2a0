"""Models that are trained together with the student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from limbeck.errors import RecipeError
from limbeck.recipes.options import resolve_options
from limbeck.training.settings import Settings

__all__ = ["TOGETHER", "CoTraining", "is_co_trained", "parse_co_training"]

# The value of `train` for such a model, or a key of it beside settings of its own.
TOGETHER = "together"


def _options(
    *,
    together: bool,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    turn: int | None = None,
    turn_offset: int | None = None,
    optimizer: str | None = None,
    optimizer_options: dict[str, Any] | None = None,
) -> None: ...


def is_co_trained(train: Any) -> bool:
    """Whether a section ``train`` is that of such a model."""
    return train == TOGETHER or (isinstance(train, Mapping) and TOGETHER in train)


@dataclass(frozen=True)
class CoTraining:
    """How a model trains together with the student.

    Args:
        options: the settings of an optimizer of its own; none if it shares that of the student.
    """

    options: Mapping[str, Any]

    def settings(self, student: Settings) -> Settings | None:
        """The settings of its own optimizer: what it does not give is as the student has it. None if it has none."""
        if not self.options:
            return None
        # The options of one optimizer are not those of another.
        own = {"optimizer_options": {}, **self.options} if "optimizer" in self.options else self.options
        return replace(student, **own)

    def to_dict(self) -> Any:
        """As a recipe has it."""
        return {TOGETHER: True, **self.options} if self.options else TOGETHER


def parse_co_training(train: Any, path: str) -> CoTraining:
    """The section ``train`` of such a model.

    Raises:
        RecipeError: with the place in the recipe.
    """
    if train == TOGETHER:
        return CoTraining({})
    found = resolve_options(_options, train, path=path, name=TOGETHER)
    if not found.pop(TOGETHER):
        raise RecipeError(
            f"{path}.{TOGETHER} is false; leave it out, or write true", code="no_effect", path=f"{path}.{TOGETHER}"
        )
    return CoTraining({option: value for option, value in found.items() if value is not None})
