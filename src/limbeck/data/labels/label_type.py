"""What a label type does: it reads the labels of records and turns them into targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.data.readers.reader import Position, Record

__all__ = ["FloatTarget", "LabelSpace", "LabelType"]


@dataclass(frozen=True)
class FloatTarget:
    """A number that is to be predicted.

    Args:
        name: its name.
        unit: its unit, such as ``"mg/dl"``; empty for a number without one.
    """

    name: str
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelSpace(ABC):
    """The possible labels, as the training rows decide them.

    Args:
        classes: the names of the classes.
        targets: the numbers to predict.
    """

    classes: tuple[str, ...] = ()
    targets: tuple[FloatTarget, ...] = ()

    def refused(self, labels: Sequence[Any]) -> Mapping[int, str]:
        """Which of these labels are outside the space, each with the reason."""
        return {}

    @abstractmethod
    def encode(self, labels: Sequence[Any]) -> Any:
        """The targets of these labels: an array ``[N]`` or ``[N, K]``, or what the row type takes."""


class LabelType(ABC):
    """Reads the labels of records. Its options are options of the recipe, and its class is what a task states."""

    columns: tuple[str, ...] = ()
    """The columns that hold labels."""

    @abstractmethod
    def read(self, record: Record, row: Any, class_names: Mapping[str, tuple[str, ...]]) -> Any:
        """The label of a record, None where it is not known.

        Args:
            record: its values by column.
            row: what the row type made of it.
            class_names: the names of the classes 0, 1, …, by column, where the file has them.

        Raises:
            ValueError: if it cannot be right; the message says why.
            KeyError: with the column, if there is none.
        """

    def mismatched(self, labels: Sequence[Any]) -> Mapping[int, str]:
        """Which labels of a file are of another type than its first one, each with the reason."""
        return {}

    @abstractmethod
    def fit(
        self, labels: Sequence[Any], positions: Sequence[Position], class_names: Mapping[str, tuple[str, ...]]
    ) -> LabelSpace:
        """The label space of these labels of the training rows.

        Raises:
            DataError: if they are no labels of this type, with the position of one.
        """

    @classmethod
    @abstractmethod
    def adapt(cls, sets: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        """Row sets of a source that has labels of its own, with labels of this type.

        Args:
            sets: by split.
            name: of the source, for messages.

        Raises:
            DataError: if its labels cannot be read so.
        """
