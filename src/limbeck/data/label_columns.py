"""How the labels of a row stand in its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

from limbeck.errors import ArgumentError

__all__ = ["Answers", "Label", "Labels", "ManyClasses", "OneClass", "cell", "check_utf8", "labels_of"]

Label: TypeAlias = str | int


class Labels(Protocol):
    """What a row's labels are read from."""

    @property
    def several(self) -> bool:
        """Whether a row may have any number of classes."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The classes, where they are known before a row is read."""

    @property
    def column(self) -> str | None:
        """The column whose type may name the classes."""

    def read(self, row: Mapping[str, Any], classes: Sequence[str] | None) -> tuple[Label, ...] | None:
        """The classes of a row; None where they are not known.

        Args:
            row: its columns.
            classes: the names of 0, 1, …, where the file has them.

        Raises:
            ValueError: if they cannot be right; the message says why.
            KeyError: with the column, if there is none.
        """


def labels_of(label: str | Sequence[str] | None, multi_label: bool, separator: str | None) -> Labels:
    """What labels are read from, as a recipe says it.

    Args:
        label: a column; several, each with 0 or 1; or None.
        multi_label: whether the column holds lists.
        separator: of the classes in a column of text.

    Raises:
        ArgumentError: if these do not go together.
    """
    several = multi_label or separator is not None
    if label is None or not isinstance(label, str):
        if separator is not None or (label is None and multi_label):
            wrong = "separator" if separator is not None else "multi_label"
            raise ArgumentError(f"{wrong} is for one column of classes, and label is {label!r}; leave one of them out")
        return OneClass(None) if label is None else Answers(tuple(label))
    return ManyClasses(label, separator) if several else OneClass(label)


@dataclass(frozen=True)
class OneClass:
    """A column with the class of each row, text or a whole number; None for rows without labels."""

    column: str | None
    several: ClassVar = False
    names: ClassVar = None

    def read(self, row: Mapping[str, Any], classes: Sequence[str] | None) -> tuple[Label, ...] | None:
        if self.column is None:
            return None
        value = cell(row, self.column)
        if value is None or value == "":
            return None
        if isinstance(value, list | tuple):
            raise ValueError(
                f"the column {self.column!r} holds a {type(value).__name__}, not text or a whole number; with "
                "multi_label: true a row may have several classes"
            )
        # Of a data set that knows its classes, -1 stands for none.
        if classes is not None and value == -1 and not isinstance(value, bool):
            return None
        return (_class(value, self.column, classes),)


@dataclass(frozen=True)
class ManyClasses:
    """A column with the classes of each row: a list, or text with a separator.

    An empty list is a row of no class, and so is the separator alone; nothing at all is a row without a label.

    >>> ManyClasses("topics", ";").read({"topics": "war; trade"}, None)
    ('war', 'trade')
    """

    column: str
    separator: str | None
    several: ClassVar = True
    names: ClassVar = None

    def __post_init__(self) -> None:
        if self.separator is not None and not self.separator.strip():
            raise ArgumentError(f"separator is {self.separator!r}; give what stands between classes, as ';'")

    def read(self, row: Mapping[str, Any], classes: Sequence[str] | None) -> tuple[Label, ...] | None:
        value = cell(row, self.column)
        if value is None or value == "":
            return None
        found = tuple(_class(one, self.column, classes) for one in self._parts(value))
        twice = [one for number, one in enumerate(found) if one in found[:number]]
        if twice:
            raise ValueError(
                f"the column {self.column!r} names the class {twice[0]!r} twice; of columns with 0 and 1, name each in "
                "label"
            )
        return found

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
class Answers:
    """A column for each class, with 1 where a row has it and 0 where not; a row without a label has nothing in any.

    >>> Answers(("war", "trade")).read({"war": 0, "trade": 1}, None)
    ('trade',)
    """

    names: tuple[str, ...]
    several: ClassVar = True
    column: ClassVar = None

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) < len(self.names):
            raise ArgumentError(
                f"label is {list(self.names)}; give at least two different columns, or the name of one with classes"
            )

    def read(self, row: Mapping[str, Any], classes: Sequence[str] | None) -> tuple[Label, ...] | None:
        values = {name: cell(row, name) for name in self.names}
        empty = [name for name, value in values.items() if value is None or value == ""]
        if len(empty) == len(values):
            return None
        if empty:
            raise ValueError(f"the column {empty[0]!r} is empty and others of label are not")
        return tuple(name for name, value in values.items() if _answer(name, value))


def _answer(column: str, value: Any) -> bool:
    if isinstance(value, str) and value.strip() in ("0", "1"):
        return value.strip() == "1"
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise ValueError(f"the column {column!r} holds {value!r}, not 0 or 1")
    return bool(value)


def _class(value: Any, column: str, classes: Sequence[str] | None) -> Label:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"the column {column!r} holds a {type(value).__name__}, not text or a whole number")
    if value == "":
        raise ValueError(f"the column {column!r} holds a class without a name")
    if classes is None:
        check_utf8(str(value), column)
        return value
    if not isinstance(value, int) or not 0 <= value < len(classes):
        raise ValueError(f"the column {column!r} holds {value!r}, not one of 0 to {len(classes) - 1}")
    return classes[value]


def check_utf8(value: str, column: str) -> None:
    """Refuse lone surrogates.

    Raises:
        ValueError: with the column.
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"the column {column!r} is not UTF-8") from None


def cell(row: Mapping[str, Any], column: str) -> Any:
    """What a column holds.

    Raises:
        KeyError: with the column, if there is none.
    """
    if column not in row:
        raise KeyError(column)
    return row[column]
