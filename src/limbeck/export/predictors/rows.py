"""Predictions for rows of numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.export.predictors.outputs import predictions_of
from limbeck.export.predictors.prediction import Prediction
from limbeck.export.session import Session

__all__ = ["predict"]


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> list[Prediction]:
    """The predictions for rows of numbers.

    Args:
        inputs: rows, each as numbers with commas between them (``"0.5,1,3"``), where an empty entry is an unknown
            number (NaN); or, where the file names its columns, as a JSON object of numbers by column.
        pairs: none.
        folder: of the exported file.
        session: of a file with one input ``[B, F]``.

    Raises:
        ArgumentError: if there are pairs, a row is not of this form, or the file takes other inputs.
    """
    if pairs:
        raise ArgumentError("a row of numbers has no second text; leave the pair out", code="unsupported", path="pairs")
    if len(session.inputs) != 1 or len(next(iter(session.inputs.values())).shape) != 2:
        given = ", ".join(f"{name} {info}" for name, info in session.inputs.items())
        raise ArgumentError(
            f"the file takes {given}; rows of numbers go into one input [B, F] only", code="unsupported", path="inputs"
        )
    (features,) = session.inputs.values()
    columns = session.names.get(features.name, ())
    rows = [_row(text, number, columns) for number, text in enumerate(inputs, start=1)]
    _check_lengths(rows, features.shape[1])
    return predictions_of(session(np.array(rows).astype(features.dtype)), session)


def _row(text: str, number: int, columns: Sequence[str]) -> NDArray[np.float64]:
    try:
        values = _by_column(json.loads(text), columns) if text.lstrip().startswith("{") else text.split(",")
        return np.array([_number(value) for value in values])
    except (ValueError, TypeError) as error:
        named = f" or a JSON object with the columns {', '.join(columns)}" if columns else ""
        raise ArgumentError(
            f"row {number} is {text!r} ({error}); expected numbers such as 0.5,1,3{named}",
            code="wrong_type",
            path=f"row {number}",
        ) from error


def _by_column(row: dict[str, Any], columns: Sequence[str]) -> list[Any]:
    wrong = sorted(set(row) ^ set(columns))
    if wrong:
        raise ValueError(f"{'unknown' if wrong[0] in row else 'missing'} column {wrong[0]!r}")
    return [row[name] for name in columns]


def _number(value: Any) -> float:
    empty = value is None or (isinstance(value, str) and not value.strip())
    return float("nan") if empty else float(value)


def _check_lengths(rows: Sequence[NDArray[np.float64]], width: int | str) -> None:
    for number, row in enumerate(rows, start=1):
        expected = len(rows[0]) if isinstance(width, str) else width
        if len(row) != expected:
            raise ArgumentError(
                f"row {number} has {len(row)} numbers; expected {expected}", code="wrong_shape", path=f"row {number}"
            )
