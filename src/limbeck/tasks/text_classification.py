"""Text classification: a class, or any number of them, for each text or pair of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

from torch import nn

from limbeck.data.rows import TextSet
from limbeck.data.word_copies import TextViews, WordCopies
from limbeck.errors import ArgumentError
from limbeck.export import Delivery
from limbeck.registry import register
from limbeck.tasks.classification import Classification
from limbeck.tasks.descriptions import TaskDescription, tokenizer_snippet
from limbeck.tasks.label_type import mark_label_type
from limbeck.tasks.splits import TrainingRows
from limbeck.tasks.text_task import LengthSettings, TextTask

__all__ = ["TextClassification", "TextSettings"]

_length = ("batch", "length")


@dataclass(frozen=True, kw_only=True)
class TextSettings(LengthSettings):
    """Settings of texts in a recipe, in addition to those of `LengthSettings`.

    Args:
        augment: copies in other words of the rows of the student and its control, as `limbeck.data.WordCopies` makes
            them; a teacher learns from the texts as they are.
    """

    augment: Mapping[str, Any] | None = None


@register("task", "text_classification")
class TextClassification(Classification, TextTask):
    """The rows of a source of texts, split; and everything that a run asks of the task.

    Args:
        source: ``train``, and where the source has them ``validation`` and ``test``.
        settings: how to split and to cut them.
        unlabelled: the source of further rows without labels.
        test_from: the source of the test rows, where it is another one.

    Raises:
        DataError: if there are fewer than two classes, rows cannot be split as asked, or the rows of another source do
            not fit.
    """

    Settings: ClassVar = TextSettings
    sections: ClassVar = {"augment": WordCopies}
    row_type: ClassVar = TextSet
    delivery: ClassVar = Delivery(("onnx", "int8"), "limbeck.export.predictors.texts:predict")
    axes: ClassVar = {"input_ids": _length, "attention_mask": _length, "token_type_ids": _length}

    @property
    def input(self) -> dict[str, Any]:
        several = {"several": True} if self.is_multi_label else {}
        return {"texts": self.test.shape[0], "max_length": self.settings.max_length, **several}

    @property
    def description(self) -> TaskDescription:
        """Texts or pairs of texts, and one class or any number of classes for each."""
        length = self.settings.max_length
        row = "pair of texts" if self.test.shape[0] == 2 else "text"
        texts, command = ('["a text"], ["its pair"]', ' --pair "its pair"') if row != "text" else ('["a text"]', "")
        return self.describe(
            takes=f"a {row} of up to {length} tokens",
            row="text",
            command=f'limbeck predict . "a text"{command}',
            pipeline_tag="text-classification",
            snippet=tokenizer_snippet(
                f"rows = tokenizer({texts}, padding=True, truncation=True, max_length={length})",
                multi_label=self.is_multi_label,
            ),
        )

    def vocabulary(self) -> list[str]:
        """The texts of the student's rows."""
        return [text for row in self.student_rows.rows.texts for text in row]

    @property
    def notes(self) -> list[str]:
        return [*super().notes, *(f"data: {line}" for line in self._copied())]

    def _copied(self) -> Iterator[str]:
        if self._text_views is not None:
            rows, copies = len(self._text_views.data), self._text_views.copies
            yield (
                f"augment has {copies} copies of {rows} training rows in other words, "
                f"{self._text_views.unchanged} of them like their row"
            )

    @cached_property
    def _text_views(self) -> TextViews | None:
        if self.settings.augment is None:
            return None
        try:
            return WordCopies(**self.settings.augment).of(self.student_rows.rows)
        except ArgumentError as error:
            raise ArgumentError.at("data.augment", f"{error}", code=error.code) from error

    def budget(self) -> dict[str, int]:
        """How many labels the student and its control may see."""
        found = super().budget()
        return found if self._text_views is None else {**found, "copies": self._text_views.copies}

    def build(
        self,
        make: Callable[..., nn.Module],
        role: str = "student",
        parts: Mapping[str, Any] = MappingProxyType({}),
    ) -> nn.Module:
        """A model for these classes; ``tokenizer`` is what it reads with."""
        return mark_label_type(super().build(make, role, parts), self.row_label_type)

    @property
    def num_views(self) -> int:
        return 1 if self.settings.augment is None else 1 + WordCopies(**self.settings.augment).copies

    def views_of(self, training: TrainingRows) -> TextViews | None:
        """The rows with their copies, for all but a teacher."""
        return None if training is self.teacher_rows else self._text_views
