"""A stage that compresses a model."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from limbeck.compress import Compressor
from limbeck.errors import LimbeckError, RecipeError
from limbeck.recipes.entry_spec import EntrySpec
from limbeck.recipes.options import place_of

__all__ = ["compress_model"]


def compress_model(model: nn.Module, step: EntrySpec, example: Any) -> nn.Module:
    """A compressed copy of a model; the model stays as it is.

    Args:
        model: trained.
        step: the compressor.
        example: the input of one real row.

    Raises:
        RecipeError: if the compressor refuses its options or the model, or gives a model of another size than planned.
    """
    compressor: Compressor = step.build()
    source = copy.deepcopy(model).eval()
    try:
        plan = compressor.plan(source, example=example)
        smaller = compressor.apply(source, plan).eval()
    except LimbeckError as error:
        raise RecipeError(
            f"{step.path}: {error}", code=error.code, path=place_of(error, step.path, step.options)
        ) from error
    parameters = sum(value.numel() for value in smaller.parameters())
    if parameters != plan.parameters:
        raise RecipeError.at(
            step.path,
            f"{step.name} planned {plan.parameters} parameters and gave {parameters}; expected the same",
            code="mismatch",
        )
    return smaller
