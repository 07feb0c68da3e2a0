"""Predictions for rows of numbers and categories."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError, suggest
from limbeck.export.predictors.outputs import predictions_of
from limbeck.export.predictors.prediction import Prediction
from limbeck.export.session import Session

__all__ = ["predict"]


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> list[Prediction]:
    """The predictions for rows of numbers and categories.

    Args:
        inputs: rows, each as values with commas between them (``"0.5,1,Rome"``), where an empty entry is an unknown
            value, and an entry with a comma in it stands in quotes; or, where the file names its columns, as a JSON
            object of values by column. A category is given by its name, or by its code, 1 for the first.
        pairs: none.
        folder: of the exported file.
        session: of a file with one input ``[B, F]``; its metadata ``categories`` names those of each column.

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
    categories: dict[str, list[str]] = json.loads(session.metadata.get("categories", "{}"))
    cells = [_cells(text, number, columns) for number, text in enumerate(inputs, start=1)]
    _check_lengths(cells, features.shape[1])
    rows = [_row(values, number, columns, categories, inputs) for number, values in enumerate(cells, start=1)]
    return predictions_of(session(np.array(rows).astype(features.dtype)), session)


def _cells(text: str, number: int, columns: Sequence[str]) -> list[Any]:
    try:
        if text.lstrip().startswith("{"):
            return _by_column(json.loads(text), columns)
        return next(csv.reader([text], skipinitialspace=True), [""])
    except (ValueError, TypeError, csv.Error) as error:
        raise _refused(text, number, error, columns) from error


def _row(
    values: Sequence[Any],
    number: int,
    columns: Sequence[str],
    categories: Mapping[str, list[str]],
    texts: Sequence[str],
) -> NDArray[np.float64]:
    named = columns or [""] * len(values)
    try:
        return np.array(
            [
                _code(value, name, categories[name]) if name in categories else _number(value)
                for name, value in zip(named, values, strict=True)
            ]
        )
    except (ValueError, TypeError) as error:
        raise _refused(texts[number - 1], number, error, columns) from error


def _refused(text: str, number: int, error: Exception, columns: Sequence[str]) -> ArgumentError:
    named = f" or a JSON object with the columns {', '.join(columns)}" if columns else ""
    return ArgumentError(
        f"row {number} is {text!r} ({error}); expected numbers such as 0.5,1,3{named}",
        code="wrong_type",
        path=f"row {number}",
    )


def _by_column(row: dict[str, Any], columns: Sequence[str]) -> list[Any]:
    wrong = sorted(set(row) ^ set(columns))
    if wrong:
        raise ValueError(f"{'unknown' if wrong[0] in row else 'missing'} column {wrong[0]!r}")
    return [row[name] for name in columns]


def _number(value: Any) -> float:
    return float("nan") if _is_empty(value) else float(value)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _code(value: Any, column: str, names: Sequence[str]) -> float:
    """The code of a category: 0 where there is none. A name comes before a code that looks like it."""
    if _is_empty(value):
        return 0.0
    name = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if name in names:
        return float(names.index(name) + 1)
    try:
        code = float(name)
    except ValueError:
        code = -1.0
    if code not in range(len(names) + 1):
        raise ValueError(
            f"the column {column!r} has no category {name!r}.{suggest(name, names)} Leave it empty where it is none of "
            "them"
        )
    return code


def _check_lengths(rows: Sequence[Sequence[Any]], width: int | str) -> None:
    for number, row in enumerate(rows, start=1):
        expected = len(rows[0]) if isinstance(width, str) else width
        if len(row) != expected:
            raise ArgumentError(
                f"row {number} has {len(row)} numbers; expected {expected}", code="wrong_shape", path=f"row {number}"
            )
