"""How a model of a recipe is trained."""

from __future__ import annotations

from collections.abc import Mapping

from limbeck.errors import RecipeError
from limbeck.recipes.co_training import TOGETHER, is_co_trained, parse_co_training
from limbeck.recipes.model_sources.model_spec import Learning
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.sections import parse_train
from limbeck.recipes.term_spec import parse_objective

__all__ = ["parse_learning"]


def parse_learning(section: Section, *, ready: bool) -> Learning | None:
    """How a teacher learns: alone, from others, together with the student, or not at all. None for the student.

    Args:
        section: of the model.
        ready: whether it comes with weights; then it is trained only if ``train`` or ``objective`` is given.

    Raises:
        RecipeError: with the place in the recipe.
    """
    train, objective, path = section.train, section.objective, section.path
    if section.name == "student":
        return None
    if is_co_trained(train):
        if objective is not None:
            raise RecipeError.at(
                f"{path}.objective",
                "it trains together with the student, by the terms of the objective at the top",
                code="conflict",
            )
        return Learning(co_training=parse_co_training(train, f"{path}.train"))
    if train is None and objective is None and ready:
        return Learning()
    if not isinstance(train, Mapping | None):
        raise RecipeError(
            f"{path}.train is {train!r}; it must be a section with keys of its own, or {TOGETHER}",
            code="wrong_type",
            path=f"{path}.train",
        )
    settings = parse_train(train or {}, f"{path}.train")
    if settings.finetune is not None:
        raise RecipeError.at(
            f"{path}.train.finetune",
            "only the student and its control have a last stage; remove it",
            code="unsupported",
        )
    if objective is None:
        return Learning(train=settings)
    if not isinstance(objective, Mapping) or not objective:
        raise RecipeError(
            f"{path}.objective is {objective!r}; give at least one term, as in `hard: {{loss: cross_entropy}}`",
            code="missing",
            path=f"{path}.objective",
        )
    terms = parse_objective(objective, f"{path}.objective", section.task.mask_address, section.task.main_output)
    return Learning(train=settings, objective=terms)
