"""Numbers to predict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.data.labels.label_type import FloatTarget, LabelSpace, LabelType
from limbeck.data.readers.reader import Position, Record
from limbeck.data.row_errors import cell, kind_of
from limbeck.errors import ArgumentError, DataError
from limbeck.registry import register

__all__ = ["FloatLabels", "FloatSpace"]

_LARGEST = float(np.finfo(np.float32).max)


@register("labels", "floats")
class FloatLabels(LabelType):
    """Numbers, one or several for each row, as float32; NaN where one is not known.

    Args:
        label: the column of the number; or several columns, one for each number; null for rows without labels. An empty
            cell or NaN is a number that is not known.
        unit: the unit of the number, such as ``mg/dl``; or one for each column.

    Raises:
        ArgumentError: if a column is named twice, or units and columns differ in number.
    """

    def __init__(self, *, label: str | tuple[str, ...] | None = "label", unit: str | tuple[str, ...] = "") -> None:
        self.single = label is None or isinstance(label, str)
        self.columns = () if label is None else (label,) if isinstance(label, str) else tuple(label)
        if not self.single and len(set(self.columns)) < max(1, len(self.columns)):
            raise ArgumentError(
                f"label is {list(self.columns)}; give different columns, or the name of one",
                code="duplicate" if self.columns else "missing",
                path="label",
            )
        units = (unit,) * len(self.columns) if isinstance(unit, str) else tuple(unit)
        if len(units) != len(self.columns):
            raise ArgumentError(
                f"unit has {len(units)} entries, label has {len(self.columns)}; give one for each",
                code="mismatch",
                path="unit",
            )
        self.targets = tuple(FloatTarget(name, unit) for name, unit in zip(self.columns, units, strict=True))

    def read(self, record: Record, row: Any, class_names: Mapping[str, tuple[str, ...]]) -> tuple[float, ...]:
        return tuple(_number(cell(record, column), column) for column in self.columns) or (math.nan,)

    def fit(
        self,
        labels: Sequence[tuple[float, ...]],
        positions: Sequence[Position],
        class_names: Mapping[str, tuple[str, ...]],
    ) -> FloatSpace:
        return FloatSpace(targets=self.targets, single=self.single)

    @classmethod
    def adapt(cls, sets: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        return {split: _as_floats(rows, name) for split, rows in sets.items()}


@dataclass(frozen=True, kw_only=True)
class FloatSpace(LabelSpace):
    """Some numbers.

    Args:
        targets: their names and units.
        single: whether targets have the shape ``[N]``, instead of ``[N, K]``.
    """

    single: bool

    def encode(self, labels: Sequence[tuple[float, ...]]) -> NDArray[np.float32]:
        """The numbers of each row, ``[N]`` or ``[N, K]``."""
        target = np.array(labels, np.float32).reshape(len(labels), -1)
        return target[:, 0] if self.single else target


def _number(value: Any, column: str) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"the column {column!r} holds {kind_of(value)}, not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"the column {column!r} holds {value!r}, not a number") from None
    if abs(number) > _LARGEST:
        raise ValueError(f"the column {column!r} holds {value!r}; expected a finite number of float32")
    return number


def _as_floats(rows: Any, name: str) -> Any:
    if rows.target.is_floating_point():
        return rows
    try:
        values = [float(label) for label in rows.classes]
    except ValueError:
        values = []
    if rows.target.ndim > 1 or not values:
        raise DataError(
            f"{name} has the classes {', '.join(map(repr, rows.classes[:5]))}; expected numbers to predict: "
            "use a task of classification",
            code="wrong_type",
            path=name,
        )
    # The last entry is that of rows whose class is not known.
    table = rows.target.new_tensor([*values, math.nan], dtype=_float32(rows))
    target = table[rows.target.clamp(min=-1)]
    return replace(rows, target=target, classes=(), targets=(FloatTarget("label"),))


def _float32(rows: Any) -> Any:
    return rows.target.float().dtype
