"""A stage that compresses a model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from limbeck import registry
from limbeck.compress import Compressor
from limbeck.errors import LimbeckError, RecipeError
from limbeck.recipes.options import construct

__all__ = ["compress_model"]


def compress_model(model: nn.Module, section: Mapping[str, Any], example: Any, path: str) -> nn.Module:
    """A compressed copy of a model; the model stays as it is.

    Args:
        model: trained.
        section: ``{use: NAME, **options}`` of a compressor.
        example: the input of one real row.
        path: of the section in the recipe, for errors.

    Raises:
        RecipeError: if the compressor refuses its options or the model, or gives a model of another size than planned.
    """
    options = {key: value for key, value in section.items() if key != "use"}
    compressor: Compressor = construct(registry.lookup("compressor", section["use"]), options, path=path)
    source = copy.deepcopy(model).eval()
    try:
        plan = compressor.plan(source, example=example)
        smaller = compressor.apply(source, plan).eval()
    except LimbeckError as error:
        raise RecipeError(f"{path}: {error}") from error
    parameters = sum(value.numel() for value in smaller.parameters())
    if parameters != plan.parameters:
        raise RecipeError(
            f"{path}: {section['use']} planned {plan.parameters} parameters and gave {parameters}; expected the same"
        )
    return smaller
