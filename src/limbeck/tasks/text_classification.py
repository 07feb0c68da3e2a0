"""Text classification: a class, or any number of them, for each text or pair of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.data.texts import TextSet
from limbeck.data.tokens import Reading
from limbeck.data.word_copies import Looks, WordCopies
from limbeck.errors import ArgumentError
from limbeck.export import Session
from limbeck.measure import Scoring
from limbeck.registry import register
from limbeck.students import folder_tokenizer
from limbeck.tasks.label_kinds import KINDS, Kind, kind_of, mark
from limbeck.tasks.of_texts import LengthSettings, OfTexts
from limbeck.tasks.task import Batch, Part, Prediction, TrainingRows

__all__ = ["TextClassification", "TextSettings"]

_length = ("batch", "length")
# Of files that do not say.
_one_class = "single_label_classification"


@dataclass(frozen=True, kw_only=True)
class TextSettings(LengthSettings):
    """What a recipe says of texts beside their source: what `LengthSettings` has, and

    Args:
        augment: copies in other words of the rows of the student and its control, as `limbeck.data.WordCopies` makes
            them; a teacher learns from the texts as they are.
    """

    augment: Mapping[str, Any] | None = None


@register("task", "text_classification")
class TextClassification(OfTexts):
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
    sources: ClassVar = ("text_source",)
    models: ClassVar = ("text_model", "pretrained_text_model")
    pretrained: ClassVar = ("pretrained_text_model",)
    parts: ClassVar = {"tokenizer": Part(("tokenizer",), "words", gives="vocabulary", supplied=("texts",))}
    formats: ClassVar = ("onnx", "int8")
    rows: ClassVar = TextSet
    of_words: ClassVar = False
    axes: ClassVar = {"input_ids": _length, "attention_mask": _length, "token_type_ids": _length}
    of_logits: ClassVar = ("batch",)

    @classmethod
    def predictions(
        cls, inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session
    ) -> list[Prediction]:
        """The classes of these texts, read with the tokenizer beside the file."""
        expected = int(session.metadata["texts"])
        if len(pairs) != (len(inputs) if expected == 2 else 0):
            raise ArgumentError(
                f"{len(inputs)} text(s) and {len(pairs)} second ones; the model takes {expected} text(s) in a row"
            )
        empty = [number for number, text in enumerate([*inputs, *pairs]) if not text.strip()]
        if empty:
            raise ArgumentError(f"text {empty[0] + 1} is empty; give it at least one word")
        reading = Reading(
            folder_tokenizer(folder=str(folder)), list(session.inputs), int(session.metadata["max_length"])
        )
        tokens = reading.tokens(list(zip(inputs, *([pairs] if pairs else []), strict=True)))
        logits = session(reading.inputs(tokens, torch.arange(len(inputs))))
        return KINDS[session.metadata.get("problem_type", _one_class)].predict(logits, session.classes)

    @property
    def _kind(self) -> Kind:
        return kind_of(self.test.target)

    @property
    def scoring(self) -> Scoring:
        return self._kind.scoring

    @property
    def input(self) -> dict[str, Any]:
        several = {} if self._kind.scoring.exclusive else {"several": True}
        return {"texts": self.test.shape[0], "max_length": self.settings.max_length, **several}

    def vocabulary(self) -> list[str]:
        """The texts of the student's rows."""
        return [text for row in self.student_rows.rows.texts for text in row]

    @property
    def notes(self) -> list[str]:
        return [*super().notes, *(f"data: {line}" for line in self._copied())]

    def _copied(self) -> Iterator[str]:
        if self._looks is not None:
            rows, copies = len(self._looks.data), self._looks.copies
            yield (
                f"augment has {copies} copies of {rows} training rows in other words, {self._looks.unchanged} of them "
                "like their row"
            )

    @cached_property
    def _looks(self) -> Looks | None:
        if self.settings.augment is None:
            return None
        try:
            return WordCopies(**self.settings.augment).of(self.student_rows.rows)
        except ArgumentError as error:
            raise ArgumentError(f"data.augment: {error}") from error

    def budget(self) -> dict[str, int]:
        """How many labels the student and its control may see."""
        found = super().budget()
        return found if self._looks is None else {**found, "copies": self._looks.copies}

    def model(self, build: Callable[..., nn.Module], parts: Mapping[str, Any] = MappingProxyType({})) -> nn.Module:
        """A model for these classes; ``tokenizer`` is what it reads with."""
        return mark(super().model(build, parts), self._kind)

    @property
    def looks(self) -> int:
        return 1 if self.settings.augment is None else 1 + WordCopies(**self.settings.augment).copies

    def looks_at(self, training: TrainingRows) -> Looks | None:
        """The rows with their copies, for all but a teacher."""
        return None if training is self.teacher_rows else self._looks

    def logits(self, read: Callable[[Batch], Tensor], rows: TextSet) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The logits ``[N, C]`` and targets of all rows, in order; ``read`` turns a batch into logits."""
        logits = torch.empty(len(rows), len(self.classes), dtype=torch.float64)
        for batch in self.evaluation(rows):
            logits[batch["row"]] = read(batch).double().cpu()
        return logits.numpy(), rows.target.numpy()

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Write the model to an ONNX file that takes tokens, in batches of any size and length."""
        super().export(model, file, {"problem_type": self._kind.problem_type, **metadata})
