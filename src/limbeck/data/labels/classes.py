"""Classes: one for each row, or any number of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.data.labels.label_type import LabelSpace, LabelType
from limbeck.data.readers.reader import Position, Record, check_utf8
from limbeck.data.row_errors import cell, kind_of
from limbeck.errors import ArgumentError, DataError
from limbeck.registry import register

__all__ = ["UNKNOWN", "ClassLabels", "ClassSpace", "Indicators", "ListedClasses", "OneClass"]

UNKNOWN = -100
"""The target of a row whose label is not known; torch's cross-entropy ignores it by default."""

Label: TypeAlias = str | int
_regression = "to predict numbers, use task: regression"


@register("labels", "classes")
class ClassLabels(LabelType):
    """Class labels, as text or whole numbers.

    The classes are those of the training rows in rising order, or those that the file names. A whole number that is
    written as a float, such as 1.0 in a Parquet file, is the class 1.

    Args:
        label: the column of the class; null for rows without labels. An empty cell is a row without a label. Or several
            columns, one for each class, that hold 1 where a row has it and 0 where not.
        multi_label: whether the column holds a list, of any number of classes; an empty one is a row of no class.
        separator: what separates the classes of a row in a column of text; alone in a cell, it is a row of no class.

    Raises:
        ArgumentError: if these do not go together.
    """

    def __init__(
        self,
        *,
        label: str | tuple[str, ...] | None = "label",
        multi_label: bool = False,
        separator: str | None = None,
    ) -> None:
        self.format = _format_of(label, multi_label, separator)
        self.columns = self.format.columns

    def read(self, record: Record, row: Any, class_names: Mapping[str, tuple[str, ...]]) -> tuple[Label, ...] | None:
        return self.format.read(record, self._named(class_names))

    def mismatched(self, labels: Sequence[tuple[Label, ...] | None]) -> Mapping[int, str]:
        each = [(at, label) for at, row in enumerate(labels) for label in row or ()]
        first = type(each[0][1]) if each else str
        return {
            at: f"the label is {kind_of(label)}, that of the first row a {first.__name__}"
            for at, label in each
            if type(label) is not first
        }

    def fit(
        self,
        labels: Sequence[tuple[Label, ...] | None],
        positions: Sequence[Position],
        class_names: Mapping[str, tuple[str, ...]],
    ) -> ClassSpace:
        names = self.format.names or self._named(class_names)
        if names is None:
            _check_whole(labels, positions)
            names = rising({str(label) for row in labels for label in row or ()})
        return ClassSpace(classes=names, several=self.format.several)

    def _named(self, class_names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | None:
        return class_names.get(self.columns[0]) if len(self.columns) == 1 else None

    @classmethod
    def adapt(cls, sets: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        if not any(rows.target.is_floating_point() for rows in sets.values()):
            return sets
        values = {split: np.asarray(rows.target) for split, rows in sets.items()}
        for split, target in values.items():
            known = target[~np.isnan(target)]
            if target.ndim > 1 or (known % 1).any():
                shown = "several numbers in a row" if target.ndim > 1 else f"the label {known[known % 1 != 0][0]:g}"
                raise DataError.at(name, f"{split} has {shown}, not a class; {_regression}", code="wrong_type")
        names = rising({str(int(value)) for value in np.unique(values["train"]) if not np.isnan(value)})
        space = ClassSpace(classes=names, several=False)
        return {
            split: _with_classes(sets[split], target, space, f"{name}: {split}") for split, target in values.items()
        }


def _with_classes(rows: Any, values: NDArray[Any], space: ClassSpace, origin: str) -> Any:
    labels = [None if np.isnan(value) else (str(int(value)),) for value in values.tolist()]
    for at, reason in space.refused(labels).items():
        raise DataError.at(f"{origin}, row {at + 1}", f"{reason}", code="invalid_row")
    target = rows.target.new_tensor(space.encode(labels), dtype=rows.index.dtype)
    return replace(rows, target=target, classes=space.classes, targets=())


@dataclass(frozen=True, kw_only=True)
class ClassSpace(LabelSpace):
    """Some classes.

    Args:
        classes: their names.
        several: whether a row may have any number of them.
    """

    several: bool

    def refused(self, labels: Sequence[tuple[Label, ...] | None]) -> Mapping[int, str]:
        known = set(self.classes)
        return {
            at: f"the label {label!r} does not occur in the training rows"
            for at, row in enumerate(labels)
            for label in row or ()
            if str(label) not in known
        }

    def encode(self, labels: Sequence[tuple[Label, ...] | None]) -> NDArray[np.int64]:
        """The class of each row, ``[N]``; or a 0 or 1 for each class, ``[N, K]``. -100 where it is not known.

        >>> ClassSpace(classes=("art", "war"), several=True).encode([("war",), (), None]).tolist()
        [[0, 1], [0, 0], [-100, -100]]
        """
        numbers = {name: number for number, name in enumerate(self.classes)}
        if not self.several:
            return np.array([numbers[str(row[0])] if row else UNKNOWN for row in labels], np.int64)
        target = np.full((len(labels), len(self.classes)), UNKNOWN, np.int64)
        for at, row in enumerate(labels):
            if row is not None:
                target[at] = 0
                target[at, [numbers[str(label)] for label in row]] = 1
        return target


class _Format(Protocol):
    """How the classes of a row are written in its columns."""

    @property
    def several(self) -> bool:
        """Whether a row may have any number of classes."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The classes, where they are known before a row is read."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    def read(self, record: Record, classes: Sequence[str] | None) -> tuple[Label, ...] | None: ...


def _format_of(label: str | Sequence[str] | None, multi_label: bool, separator: str | None) -> _Format:
    if label is None or not isinstance(label, str):
        if separator is not None or (label is None and multi_label):
            wrong = "separator" if separator is not None else "multi_label"
            raise ArgumentError(
                f"{wrong} is for one column of classes, and label is {label!r}; leave one of them out",
                code="conflict",
                path=wrong,
            )
        return OneClass(None) if label is None else Indicators(tuple(label))
    return ListedClasses(label, separator) if multi_label or separator is not None else OneClass(label)


@dataclass(frozen=True)
class OneClass:
    """A column with the class of each row, text or a whole number; None for rows without labels."""

    column: str | None
    several: ClassVar = False
    names: ClassVar = None

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.column is None else (self.column,)

    def read(self, record: Record, classes: Sequence[str] | None) -> tuple[Label, ...] | None:
        if self.column is None:
            return None
        value = cell(record, self.column)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, list | tuple):
            raise ValueError(
                f"the column {self.column!r} holds a {type(value).__name__}, not text or a whole number; with "
                "multi_label: true a row may have several classes"
            )
        # In a data set that names its classes, -1 means that the class is not known.
        if classes is not None and value == -1 and not isinstance(value, bool):
            return None
        return (_class(value, self.column, classes),)


@dataclass(frozen=True)
class ListedClasses:
    """A column with the classes of each row: a list, or text with a separator.

    An empty list is a row of no class, and so is the separator alone; nothing at all is a row without a label.

    >>> ListedClasses("topics", ";").read({"topics": "war; trade"}, None)
    ('war', 'trade')
    """

    column: str
    separator: str | None
    several: ClassVar = True
    names: ClassVar = None

    def __post_init__(self) -> None:
        if self.separator is not None and not self.separator.strip():
            raise ArgumentError(
                f"separator is {self.separator!r}; give what stands between classes, as ';'", path="separator"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def read(self, record: Record, classes: Sequence[str] | None) -> tuple[Label, ...] | None:
        value = cell(record, self.column)
        if value is None or value == "":
            return None
        labels = tuple(_class(part, self.column, classes) for part in self._parts(value))
        twice = [label for number, label in enumerate(labels) if label in labels[:number]]
        if twice:
            raise ValueError(
                f"the column {self.column!r} names the class {twice[0]!r} twice; of columns with 0 and 1, name each in "
                "label"
            )
        return labels

    def _parts(self, value: Any) -> Sequence[Any]:
        if self.separator is None:
            if not isinstance(value, list | tuple):
                raise ValueError(
                    f"the column {self.column!r} holds a {type(value).__name__}, not a list; of text, name the "
                    "separator of the classes"
                )
            return value
        if not isinstance(value, str):
            raise ValueError(f"the column {self.column!r} holds a {type(value).__name__}, not text with a separator")
        if value.strip() == self.separator.strip():
            return ()
        return [part.strip() for part in value.split(self.separator)]


@dataclass(frozen=True)
class Indicators:
    """A column for each class, with 1 where a row has it and 0 where not; a row without a label has nothing in any.

    >>> Indicators(("war", "trade")).read({"war": 0, "trade": 1}, None)
    ('trade',)
    """

    names: tuple[str, ...]
    several: ClassVar = True

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) < len(self.names):
            raise ArgumentError(
                f"label is {list(self.names)}; give at least two different columns, or the name of one with classes",
                code="too_few" if len(self.names) < 2 else "duplicate",
                path="label",
            )

    @property
    def columns(self) -> tuple[str, ...]:
        return self.names

    def read(self, record: Record, classes: Sequence[str] | None) -> tuple[Label, ...] | None:
        values = {name: cell(record, name) for name in self.names}
        empty = [name for name, value in values.items() if value is None or value == ""]
        if len(empty) == len(values):
            return None
        if empty:
            raise ValueError(f"the column {empty[0]!r} is empty and others of label are not")
        return tuple(name for name, value in values.items() if _indicator(name, value))


def _indicator(column: str, value: Any) -> bool:
    if isinstance(value, str) and value.strip() in ("0", "1"):
        return value.strip() == "1"
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise ValueError(f"the column {column!r} holds {value!r}, not 0 or 1")
    return bool(value)


def _class(value: Any, column: str, classes: Sequence[str] | None) -> Label:
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"the column {column!r} holds a float, not text or a whole number; {_regression}")
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"the column {column!r} holds a {type(value).__name__}, not text or a whole number")
    if value == "":
        raise ValueError(f"the column {column!r} holds a class without a name")
    if classes is None:
        check_utf8(str(value), f"the column {column!r}")
        return value
    if not isinstance(value, int) or not 0 <= value < len(classes):
        raise ValueError(f"the column {column!r} holds {value!r}, not one of 0 to {len(classes) - 1}")
    return classes[value]


def _check_whole(labels: Sequence[tuple[Label, ...] | None], positions: Sequence[Position]) -> None:
    """Refuse text that holds numbers alone, some of them not whole: a column of values, not of classes."""
    first = {row[0]: at for at, row in reversed(list(enumerate(labels))) if row}
    values = {at: _number(label) for label, at in first.items()}
    fractions = [at for at, value in values.items() if value is not None and value % 1]
    if fractions and None not in values.values():
        at = min(fractions)
        label = (labels[at] or ("",))[0]
        raise DataError.at(
            positions[at],
            f"the label {label} is a number that is not whole, not a class; {_regression}",
            code="wrong_type",
        )


def _number(label: Label) -> float | None:
    try:
        value = float(label)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def rising(names: set[str]) -> tuple[str, ...]:
    """Names in rising order: as numbers if all are whole numbers, otherwise as text."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))
