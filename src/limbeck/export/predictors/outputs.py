"""Predictions from the outputs of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from limbeck.export.predictors.classes import class_predictions
from limbeck.export.predictors.prediction import Prediction
from limbeck.export.session import Session

__all__ = ["predictions_of"]


def predictions_of(outputs: dict[str, NDArray[Any]], session: Session) -> list[Prediction]:
    """Classes where the file says that its main output scores them; otherwise the values of every output.

    Args:
        outputs: of a batch, by name.
        session: that computed them.
    """
    classes = class_predictions(outputs, session)
    if classes is not None:
        return classes
    rows = [dict(zip(outputs, values, strict=True)) for values in zip(*outputs.values(), strict=True)]
    return [_values(row, session) for row in rows]


def _values(row: Mapping[str, NDArray[Any]], session: Session) -> Prediction:
    found = {name: _plain(value, session.names.get(name)) for name, value in row.items()}
    return Prediction(found, ", ".join(f"{name} {_short(value)}" for name, value in found.items()))


def _plain(value: NDArray[Any], names: tuple[str, ...] | None) -> Any:
    """A number, a list of them, or a mapping where the last and only axis has names."""
    plain = value.tolist()
    return dict(zip(names, plain, strict=True)) if names is not None and value.ndim == 1 else plain


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return str(value)
