"""No labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.data.labels.classes import UNKNOWN
from limbeck.data.labels.label_type import LabelSpace, LabelType
from limbeck.data.readers.reader import Position, Record
from limbeck.registry import register

__all__ = ["NoLabels"]


@register("labels", "none")
class NoLabels(LabelType):
    """No labels: every row has the target -100."""

    def read(self, record: Record, row: Any, class_names: Mapping[str, tuple[str, ...]]) -> None:
        return None

    def fit(
        self, labels: Sequence[None], positions: Sequence[Position], class_names: Mapping[str, tuple[str, ...]]
    ) -> _Nothing:
        return _Nothing()

    @classmethod
    def adapt(cls, sets: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        return {split: _without(rows) for split, rows in sets.items()}


class _Nothing(LabelSpace):
    def encode(self, labels: Sequence[None]) -> NDArray[np.int64]:
        return np.full(len(labels), UNKNOWN, np.int64)


def _without(rows: Any) -> Any:
    return replace(rows, target=rows.index.new_full((len(rows),), UNKNOWN), classes=(), targets=())
