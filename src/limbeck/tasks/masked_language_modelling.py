"""Masked language modelling: the hidden words of plain texts, and what is left of that in a small model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.cache import CachedRows
from limbeck.core import Address
from limbeck.data import MaskedWords, Plan, split
from limbeck.data.masked_batches import MaskedBatches, masked
from limbeck.data.plain_texts import PlainTexts
from limbeck.data.text_batches import TextBatches, read_rows, whole_texts
from limbeck.data.texts import TextSet
from limbeck.data.tokens import content
from limbeck.errors import ArgumentError, ExportError
from limbeck.export import Session
from limbeck.measure import MaskedWordScoring, answers
from limbeck.registry import register
from limbeck.tasks.division import Division
from limbeck.tasks.of_texts import OfTexts
from limbeck.tasks.readings import check_reads
from limbeck.tasks.task import Batch, Part, Prediction, TrainingRows

__all__ = ["MaskedLanguageModelling", "MaskedSettings"]

# Logits over a vocabulary are large.
_evaluation_batch = 16
_measured = 0.15
_fixed = 0


@dataclass(frozen=True, kw_only=True)
class MaskedSettings:
    """What a recipe says of plain texts beside their source.

    Args:
        masked: the share of tokens that are hidden in training, anew in every epoch; with 0 models read the texts as
            they are, and there can be no control. Measured is with 0.15, the same words for every model.
        max_length: the most tokens of a row that a model reads; the others are cut off, and the run says of how many
            rows.
        validation: the share of the source's training rows that is held out for model selection.
        test: the share that is held out for the one measurement at the end, if the source has no test set of its own.
        split_seed: decides which rows are held out, and which ``limit`` keeps.
        limit: training rows for the student and its control; all if null. A teacher trains on all.
    """

    masked: float = 0.15
    max_length: int = 128
    validation: float = 0.05
    test: float = 0.05
    split_seed: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.masked <= 1:
            raise ArgumentError(f"masked is {self.masked}; it must be a share in 0..1")
        if self.max_length < 3:
            raise ArgumentError(f"max_length is {self.max_length}; it must be at least 3 tokens")
        if self.limit is not None and self.limit < 1:
            raise ArgumentError(f"limit is {self.limit}; it must be at least 1, or null for all")


@register("task", "masked_language_modelling")
class MaskedLanguageModelling(OfTexts):
    """The rows of a source of texts, split, without their labels; and everything that a run asks of the task.

    Args:
        source: ``train``, and where the source has them ``validation`` and ``test``.
        settings: how to split, to cut and to hide.

    Raises:
        DataError: if rows cannot be split as asked.

    Devlin, Chang, Lee, Toutanova, 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", arXiv:1810.04805 (section 3.1).
    """

    Settings: ClassVar = MaskedSettings
    sections: ClassVar[Mapping[str, type]] = {}
    sources: ClassVar = ("text_source",)
    models: ClassVar = ("masked_language_model",)
    pretrained: ClassVar = ("masked_language_model",)
    supplied: ClassVar = ()
    parts: ClassVar = {"tokenizer": Part(("tokenizer",), "words", gives="vocabulary", supplied=("texts",))}
    formats: ClassVar = ()
    counted: ClassVar = "batch.inputs.attention_mask"
    fixed: ClassVar = ()
    scoring: ClassVar = MaskedWordScoring()
    rows: ClassVar = TextSet
    of_words: ClassVar = False

    @classmethod
    def predictions(
        cls, inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session
    ) -> list[Prediction]:
        """Nothing: no file is exported.

        Raises:
            ArgumentError: always.
        """
        raise ArgumentError("a masked language model is not exported; load models/student with from_pretrained")

    def divided(self, source: Mapping[str, TextSet], **others: Mapping[str, Any] | None) -> Division[PlainTexts]:
        """Which rows are whose; all of them without labels."""
        texts = {name: PlainTexts.of_texts(data) for name, data in source.items()}
        settings = self.settings
        parted = partial(split, texts, validation=settings.validation, test=settings.test, seed=settings.split_seed)
        whole = parted()
        limited = whole if settings.limit is None else parted(limit=settings.limit)
        teacher, student = (one.train if settings.masked else one.train.unasked() for one in (whole, limited))
        rows = TrainingRows(teacher), TrainingRows(student), TrainingRows(student, labelled_only=True)
        return Division(*rows, validation=whole.validation, test=whole.test)

    # The data.

    @property
    def input(self) -> dict[str, Any]:
        return {"texts": self.test.shape[0], "max_length": self.settings.max_length}

    def vocabulary(self) -> list[str]:
        """The texts of the student's rows."""
        return [text for row in self.student_rows.rows.texts for text in row]

    def budget(self) -> dict[str, int]:
        """No label at all: the texts are their own."""
        return {"training": 0, "unlabelled": len(self.student_rows.rows)}

    # Models, and how they read.

    def model(self, build: Callable[..., nn.Module], parts: Mapping[str, Any] = MappingProxyType({})) -> nn.Module:
        """The model; it brings its tokenizer."""
        return build()

    def reading(self, models: Callable[[], Mapping[str, nn.Module]]) -> tuple[Self, dict[str, Address]]:
        """The task with tokens for all these models.

        Raises:
            ArgumentError: if two of them have other words, or one has no word to hide others behind.
        """
        bound, addresses = super().reading(models)
        (first, own), *others = bound.readings.items()
        for name, reading in others:
            if content(reading.tokenizer) != content(own.tokenizer):
                raise ArgumentError(
                    f"models.{name} has another tokenizer than models.{first}; masked words need models of one "
                    "vocabulary"
                )
        bound.words(0)
        return bound, addresses

    def words(self, seed: int, share: float = _measured) -> MaskedWords:
        """Which words are hidden."""
        return MaskedWords(next(iter(self.readings.values())).tokenizer, share=share, seed=seed)

    def check_model(self, label: str, model: nn.Module, inputs: Address = "batch.inputs") -> None:
        """Refuse a model that cannot turn one row into logits over its words."""
        words: Any = model.tokenizer
        entries = getattr(getattr(model, "config", None), "vocab_size", len(words))
        check_reads(label, model, self.example, inputs, [1, self.example["target"].shape[1], entries])

    # Batches.

    def _read(self, rows: PlainTexts, numbers: Tensor) -> Batch:
        return masked(read_rows(rows, numbers, self.readings), self.words(_fixed))

    def batches(
        self,
        training: TrainingRows,
        *,
        batch_size: int,
        seed: int,
        rank: int,
        world: int,
        views: int | None = None,
        cached: CachedRows | None = None,
    ) -> tuple[MaskedBatches, int]:
        """The batches that a model trains on, and how many make an epoch."""
        rows = training.rows
        plan = Plan(rows.labelled, batch_size=batch_size, seed=seed, labelled_only=training.labelled_only)
        texts = TextBatches(rows, plan, self.readings, rank=rank, world=world, views=views, cached=cached)
        return MaskedBatches(
            texts, self.words(seed, self.settings.masked) if rows.asked else None
        ), plan.steps_per_epoch

    def key(self, training: TrainingRows) -> dict[str, Any]:
        """What decides these batches."""
        return {
            "rows": training.rows.fingerprint(),
            "labelled_only": training.labelled_only,
            "masked": self.settings.masked,
            "readings": self._fingerprints,
        }

    @property
    def looks(self) -> int | None:
        return None if self.settings.masked else 1

    def looks_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the looks at the rows that caches are made of."""
        return {
            "texts": training.rows.fingerprint(),
            "masked": self.settings.masked,
            "readings": self._fingerprints,
        }

    # Judgement.

    def evaluation(self, rows: PlainTexts) -> Iterator[Batch]:
        """All rows once, from short to long, always with the same words hidden."""
        for batch in whole_texts(rows, _evaluation_batch, self.readings):
            yield masked(batch, self.words(_fixed))

    def logits(
        self, read: Callable[[Batch], Tensor], rows: PlainTexts
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What a model says of the hidden words, as `limbeck.measure.MaskedWordScoring` takes it: `[N, M, 2]`, and the
        words `[N, M]`."""
        row, place, said, target = [], [], [], []
        for batch in self.evaluation(rows):
            asked, logits = batch["masked"], read(batch)
            target.append(batch["target"][asked].numpy())
            said.append(answers(logits[asked.to(logits.device)].double().cpu().numpy(), target[-1]))
            row.append(batch["row"].repeat_interleave(asked.sum(1)).numpy())
            place.append((asked.cumsum(1) - 1)[asked].numpy())
        at = np.concatenate(row), np.concatenate(place)
        most = int(at[1].max(initial=-1)) + 1
        found = np.zeros((len(rows), most, 2)), np.full((len(rows), most), -100)
        found[0][at], found[1][at] = np.concatenate(said), np.concatenate(target)
        return found

    # What is left of it.

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Nothing: another recipe goes on with the model.

        Raises:
            ExportError: always.
        """
        raise ExportError("a masked language model is not exported; load models/student with from_pretrained")
