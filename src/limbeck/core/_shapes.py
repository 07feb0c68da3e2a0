"""Shapes of what a loss reads and returns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from limbeck.core.addresses import Address, Outputs, row_count
from limbeck.errors import ArgumentError

__all__ = ["check_quantities", "check_rows"]

_quantities = ("student", "teacher", "target")


def check_quantities(loss: str, values: Mapping[str, Any], inputs: Mapping[str, Address]) -> None:
    """Refuse quantities of which one has a further axis of length 1: their difference would pair all rows.

    Raises:
        ArgumentError: with both arguments and their shapes.
    """
    shapes = {name: list(values[name].shape) for name in _quantities if _is_floating(values.get(name))}
    for (one, shape), (other, longer) in itertools.permutations(shapes.items(), 2):
        if longer == [*shape, 1]:
            raise ArgumentError(
                f"{loss}: {one!r} has shape {shape} and {other!r} {longer}; expected one shape; squeeze or unsqueeze "
                f"the last axis of {inputs[one]!r} or {inputs[other]!r}",
                code="wrong_shape",
                path=one,
            )


def check_rows(loss: str, unreduced: Tensor, batch: Outputs, values: Mapping[str, Any]) -> None:
    """Refuse an unreduced loss that has another number of rows than the batch, or than what the loss has read.

    Raises:
        ArgumentError: with both numbers.
    """
    counts = (row_count(part) for part in (batch.get("row"), batch.get("inputs"), values))
    rows = next((count for count in counts if count is not None), len(unreduced))
    if len(unreduced) != rows:
        raise ArgumentError(
            f"{loss} returned {list(unreduced.shape)} for {rows} rows; expected a value for every row, [{rows}], or "
            f"for every position, [{rows}, T]",
            code="wrong_shape",
        )


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
