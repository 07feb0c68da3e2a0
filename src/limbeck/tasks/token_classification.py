"""Token classification: one tag for each word of a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.data.labelled import UNKNOWN
from limbeck.data.tagged import TagSet
from limbeck.data.tokens import Reading
from limbeck.errors import ArgumentError
from limbeck.export import Session
from limbeck.measure import Tagging
from limbeck.measure.metrics import Floats, log_softmax
from limbeck.registry import register
from limbeck.students import folder_tokenizer
from limbeck.tasks.of_texts import LengthSettings, OfTexts
from limbeck.tasks.task import Batch, Part, Prediction

__all__ = ["TokenClassification"]

_length = ("batch", "length")
# Letters and digits, with marks between them; any other mark by itself.
_word = re.compile(r"\w+(?:[^\w\s]+\w+)*|[^\w\s]")


@register("task", "token_classification")
class TokenClassification(OfTexts):
    """The rows of a source of words and tags, split; and everything that a run asks of the task.

    Args:
        source: ``train``, and where the source has them ``validation`` and ``test``.
        settings: how to split and to cut them.
        unlabelled: the source of further rows without tags.
        test_from: the source of the test rows, where it is another one.

    Raises:
        DataError: if there are fewer than two tags, rows cannot be split as asked, or the rows of another source do not
            fit.
    """

    Settings: ClassVar = LengthSettings
    sections: ClassVar[Mapping[str, type]] = {}
    sources: ClassVar = ("tagged_source",)
    models: ClassVar = ("tagging_model", "pretrained_tagging_model")
    pretrained: ClassVar = ("pretrained_tagging_model",)
    parts: ClassVar = {"tokenizer": Part(("tagging_tokenizer",), "words", gives="vocabulary", supplied=("texts",))}
    formats: ClassVar = ("onnx", "int8")
    counted: ClassVar = "batch.words"
    rows: ClassVar = TagSet
    of_words: ClassVar = True
    axes: ClassVar = {
        **dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), _length),
        "words": ("batch", "words"),
    }
    of_logits: ClassVar = ("batch", "words")

    @classmethod
    def predictions(
        cls, inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session
    ) -> list[Prediction]:
        """The tags of the words of these texts, read with the tokenizer beside the file."""
        if pairs:
            raise ArgumentError("a sentence has no second text; leave the pair out")
        rows = [tuple(_word.findall(text)) for text in inputs]
        for number, words in enumerate(rows, start=1):
            if not words:
                raise ArgumentError(f"text {number} is empty; give it at least one word")
        tokenizer = folder_tokenizer(folder=str(folder))
        reading = Reading(tokenizer, list(session.inputs), int(session.metadata["max_length"]), of_words=True)
        tokens = reading.tokens(rows)
        assert tokens.starts is not None
        everything = torch.arange(len(rows))
        probabilities = np.exp(log_softmax(session(reading.inputs(tokens, everything)).astype(np.float64)))
        read = tokens.starts.padded(everything, -1) >= 0
        return [
            _prediction(words, one[: len(words)], seen[: len(words)], session.classes)
            for words, one, seen in zip(rows, probabilities, read.numpy(), strict=True)
        ]

    @cached_property
    def scoring(self) -> Tagging:
        """Entities decide where tags tell of some, words where they do not."""
        return Tagging(self.classes)

    @property
    def input(self) -> dict[str, Any]:
        return {"words": True, "max_length": self.settings.max_length}

    def vocabulary(self) -> list[str]:
        """The words of the student's rows."""
        return [word for row in self.student_rows.rows.words for word in row]

    def logits(self, read: Callable[[Batch], Tensor], rows: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The logits ``[N, W, C]`` and targets ``[N, W]`` of all rows, in order; ``read`` turns a batch into logits."""
        longest = int(rows.tags.lengths[rows.place].max())
        logits = torch.zeros(len(rows), longest, len(self.classes), dtype=torch.float64)
        target = torch.full((len(rows), longest), UNKNOWN)
        for batch in self.evaluation(rows):
            words = batch["words"]
            length = words.shape[1]
            logits[batch["row"], :length] = read(batch).double().cpu().where(words.unsqueeze(-1), 0.0)
            target[batch["row"], :length] = batch["target"]
        return logits.numpy(), target.numpy()


def _prediction(
    words: Sequence[str], probabilities: Floats, read: NDArray[np.bool_], classes: Sequence[str]
) -> Prediction:
    """The tags of one sentence; None for a word that no token is left of."""
    found = [
        {
            "word": word,
            "tag": classes[int(row.argmax())] if seen else None,
            "probability": float(row.max()) if seen else None,
        }
        for word, row, seen in zip(words, probabilities, read, strict=True)
    ]
    return Prediction({"words": found}, " ".join(f"{one['word']}/{one['tag'] or '?'}" for one in found))
