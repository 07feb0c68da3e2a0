"""A tag for each word of a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.data.labels.classes import UNKNOWN
from limbeck.data.labels.label_type import LabelSpace, LabelType
from limbeck.data.readers.reader import Position, Record, check_utf8
from limbeck.data.row_errors import cell, kind_of
from limbeck.registry import register

__all__ = ["TagLabels", "TagSpace", "check_text", "read_list"]


@dataclass(frozen=True)
class _Tags:
    """The tags of a sentence.

    Args:
        names: of each word, None where it is not known.
        kind: the type that the file has them in.
    """

    names: tuple[str | None, ...]
    kind: type


@register("labels", "tags")
class TagLabels(LabelType):
    """Tags of words, as text or whole numbers. The classes are the tags of the training rows, or those that it names.

    Args:
        tags: the column of the tags, a list of as many texts or whole numbers as there are words, -100 for a tag that
            is not known; null for rows without tags. Null in a row is a row without tags.
    """

    def __init__(self, *, tags: str | None = "tags") -> None:
        self.columns = () if tags is None else (tags,)

    def read(self, record: Record, row: Any, class_names: Mapping[str, tuple[str, ...]]) -> _Tags | None:
        if not self.columns or cell(record, self.columns[0]) is None:
            return None
        tags = read_list(record, self.columns[0])
        if len(tags) != len(row):
            raise ValueError(f"it has {len(row)} words and {len(tags)} tags")
        if all(isinstance(tag, int) and not isinstance(tag, bool) for tag in tags):
            names = class_names.get(self.columns[0], ())
            return _Tags(tuple(_named(tag, names) for tag in tags), int)
        for number, tag in enumerate(tags, start=1):
            check_text(tag, f"tag {number}")
        return _Tags(tuple(tags), str)

    def mismatched(self, labels: Sequence[_Tags | None]) -> Mapping[int, str]:
        first = next((tags.kind for tags in labels if tags is not None), str)
        return {
            at: f"the tags are {tags.kind.__name__}, those of the first row {first.__name__}"
            for at, tags in enumerate(labels)
            if tags is not None and tags.kind is not first
        }

    def fit(
        self,
        labels: Sequence[_Tags | None],
        positions: Sequence[Position],
        class_names: Mapping[str, tuple[str, ...]],
    ) -> TagSpace:
        if self.columns and self.columns[0] in class_names:
            return TagSpace(classes=class_names[self.columns[0]])
        known = [tags for tags in labels if tags is not None]
        names = {name for tags in known for name in tags.names if name is not None}
        return TagSpace(classes=tuple(sorted(names, key=int if any(tags.kind is int for tags in known) else None)))

    @classmethod
    def adapt(cls, sets: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        return sets


class TagSpace(LabelSpace):
    """Some tags."""

    def refused(self, labels: Sequence[_Tags | None]) -> Mapping[int, str]:
        known = {None, *self.classes}
        strange = {
            at: next((name for name in tags.names if name not in known), None)
            for at, tags in enumerate(labels)
            if tags is not None
        }
        kinds = [None if tags is None else tags.kind for tags in labels]
        return {
            at: f"the tag {name if kinds[at] is int else repr(name)} does not occur in the training rows"
            for at, name in strange.items()
            if name is not None
        }

    def encode(self, labels: Sequence[_Tags | None]) -> list[list[int] | None]:
        """The number of each tag, -100 where it is not known; None for a sentence without tags."""
        numbers: dict[str | None, int] = {name: number for number, name in enumerate(self.classes)}
        numbers[None] = UNKNOWN
        return [None if tags is None else [numbers[name] for name in tags.names] for tags in labels]


def _named(tag: int, names: Sequence[str]) -> str | None:
    if tag == UNKNOWN:
        return None
    return names[tag] if 0 <= tag < len(names) else str(tag)


def read_list(record: Record, column: str) -> Sequence[Any]:
    """The list in a column.

    Raises:
        KeyError: with the column, if there is none.
        ValueError: if it holds something else.
    """
    value = cell(record, column)
    if not isinstance(value, list | tuple):
        raise ValueError(f"the column {column!r} holds {kind_of(value)}, not a list")
    return value


def check_text(value: Any, what: str) -> None:
    """Refuse what is no text, empty, or not UTF-8.

    Args:
        value: the value.
        what: how to call it in the message, such as ``word 3``.

    Raises:
        ValueError: with the reason.
    """
    if not isinstance(value, str):
        raise ValueError(f"{what} is {kind_of(value)}, not text")
    if not value.strip():
        raise ValueError(f"{what} is empty")
    check_utf8(value, what)
