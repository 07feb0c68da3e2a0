"""The precisions that a run has chosen, in its recipe: another run of that takes the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from limbeck.recipes.recipe import Recipe
from limbeck.runs.plan import teacher_stage
from limbeck.training.settings import Settings

__all__ = ["with_precisions"]


def with_precisions(recipe: Recipe, chosen: Mapping[str, str]) -> Recipe:
    """The recipe with what was chosen in the place of ``precision: auto``.

    Args:
        recipe: parsed.
        chosen: ``float32`` or ``bfloat16`` by the name of the stage.
    """
    models = {
        name: spec
        if spec.learning is None or spec.train is None
        else replace(spec, learning=replace(spec.learning, train=_settled(spec.train, chosen.get(teacher_stage(name)))))
        for name, spec in recipe.models.items()
    }
    return replace(recipe, train=_settled(recipe.train, chosen.get("student")), models=models)


def _settled(train: Settings, precision: str | None) -> Settings:
    if precision is None or train.precision != "auto":
        return train
    return replace(train, precision=precision)  # type: ignore[arg-type]
