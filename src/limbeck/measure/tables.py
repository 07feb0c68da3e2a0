"""Tables of results beside the metrics, such as a confusion matrix: counts without an interval."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from limbeck.measure.metric import Floats, Integers, Labels, Outputs

__all__ = ["Confusion", "Table"]


class Table(ABC):
    """A table over the rows of all seeds of a model, as ``results.json`` has it.

    Each batch gives entries, any number for each row; the table is computed from all of them, by seed and row.
    """

    @abstractmethod
    def entries(self, outputs: Outputs, labels: Labels) -> tuple[Integers, Floats]:
        """The entries of one batch: the row that each belongs to, ``[E]``, ascending, and its numbers, ``[E, k]``."""

    @abstractmethod
    def summary(self, entries: Floats) -> list[Any]:
        """The table, in plain types."""


class Confusion(Table):
    """How often each class is predicted for the rows of each class: ``[true class][predicted class]``.

    Args:
        classes: the number of classes.

    >>> table = Confusion(2)
    >>> outputs, labels = {"logits": np.array([[1.0, 0.0], [1.0, 0.0]])}, {"target": np.array([0, 1])}
    >>> table.summary(table.entries(outputs, labels)[1])
    [[1, 0], [1, 0]]
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def entries(self, outputs: Outputs, labels: Labels) -> tuple[Integers, Floats]:
        target = labels["target"]
        pairs = np.stack([target, outputs["logits"].argmax(axis=1)], axis=1)
        return np.arange(len(target)), pairs.astype(np.float64)

    def summary(self, entries: Floats) -> list[Any]:
        cells = entries.astype(np.int64) @ np.array([self.classes, 1])
        counts = np.bincount(cells, minlength=self.classes**2).reshape(self.classes, self.classes)
        table: list[Any] = counts.tolist()
        return table
