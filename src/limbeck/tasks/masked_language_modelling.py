"""Masked language modelling: the hidden words of plain texts, and what is left of that in a small model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from limbeck.data import UNKNOWN, MlmMasking, Plan, split
from limbeck.data.labels import ClassLabels
from limbeck.data.masked_batches import MaskedBatches, masked
from limbeck.data.rows import TextSet, UnlabelledTexts
from limbeck.data.text_batches import TextBatches, read_rows, whole_texts
from limbeck.data.tokens import content
from limbeck.errors import ArgumentError, ExportError
from limbeck.export import Delivery
from limbeck.measure import ClassScoring, masked_token_outputs, masked_token_scoring
from limbeck.registry import Needs, register
from limbeck.tasks.batch_source import Batch
from limbeck.tasks.descriptions import TaskDescription
from limbeck.tasks.outputs import OutputSpec
from limbeck.tasks.splits import TaskSplits, TrainingRows
from limbeck.tasks.task import Arrays
from limbeck.tasks.text_task import TextTask
from limbeck.tasks.tokenization import check_reads

__all__ = ["MaskedLanguageModelling", "MaskedSettings"]

# Logits over a vocabulary are large.
_evaluation_batch = 16
_measured = 0.15
_fixed = 0


@dataclass(frozen=True, kw_only=True)
class MaskedSettings:
    """The settings of plain texts beside their source.

    Args:
        masked: the share of tokens that are hidden in training, anew in every epoch; with 0 models read the texts as
            they are, and there can be no control. Measured is with 0.15, the same words for every model.
        max_length: the most tokens of a row that a model reads; the others are cut off, and the run reports of how
            many rows.
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
            raise ArgumentError(f"masked is {self.masked}; it must be a share in 0..1", path="masked")
        if self.max_length < 3:
            raise ArgumentError(f"max_length is {self.max_length}; it must be at least 3 tokens", path="max_length")
        if self.limit is not None and self.limit < 1:
            raise ArgumentError(f"limit is {self.limit}; it must be at least 1, or null for all", path="limit")


@register("task", "masked_language_modelling")
class MaskedLanguageModelling(TextTask):
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
    row_type: ClassVar = TextSet
    label_type: ClassVar = ClassLabels
    needs: ClassVar = Needs(("texts",), per="token")
    supplied: ClassVar = ()
    delivery: ClassVar = Delivery(formats=())
    mask_address: ClassVar = "batch.inputs.attention_mask"
    static_outputs: ClassVar = ()
    scoring: ClassVar[ClassScoring] = masked_token_scoring()

    def split(self, source: Mapping[str, TextSet], **others: Mapping[str, Any] | None) -> TaskSplits[UnlabelledTexts]:
        """Which rows are whose; all of them without labels."""
        texts = {name: UnlabelledTexts.of_texts(data) for name, data in source.items()}
        settings = self.settings
        parted = partial(split, texts, validation=settings.validation, test=settings.test, seed=settings.split_seed)
        whole = parted()
        limited = whole if settings.limit is None else parted(limit=settings.limit)
        teacher, student = (one.train if settings.masked else one.train.without_masks() for one in (whole, limited))
        rows = TrainingRows(teacher), TrainingRows(student), TrainingRows(student, labelled_only=True)
        return TaskSplits(*rows, validation=whole.validation, test=whole.test)

    # The data.

    @property
    def input(self) -> dict[str, Any]:
        return {"texts": self.test.shape[0], "max_length": self.settings.max_length}

    @property
    def description(self) -> TaskDescription:
        """Texts with hidden words, and a distribution over the vocabulary for each of these."""
        return TaskDescription(
            input=f"a text of up to {self.settings.max_length} tokens",
            output="a probability of each vocabulary entry for every hidden word",
            row="text",
            label="word",
            decision="hidden word",
            limits=["No file is exported: another recipe continues with `models/student`."],
            pipeline_tag="fill-mask",
        )

    @property
    def outputs(self) -> dict[str, OutputSpec]:
        """One logit for each entry of the vocabulary, for each token."""
        return {"logits": OutputSpec(("row", "length", "entry"), mask="batch.inputs.attention_mask")}

    def vocabulary(self) -> list[str]:
        """The texts of the student's rows."""
        return [text for row in self.student_rows.rows.texts for text in row]

    def budget(self) -> dict[str, int]:
        """No label at all: the texts are their own."""
        return {"training": 0, "unlabelled": len(self.student_rows.rows)}

    # Models, and how they read.

    def build(
        self,
        make: Callable[..., nn.Module],
        role: str = "student",
        parts: Mapping[str, Any] = MappingProxyType({}),
    ) -> nn.Module:
        """The model; it brings its tokenizer."""
        return make()

    def reading(self, models: Callable[[], Mapping[str, nn.Module]]) -> tuple[Self, dict[str, Address]]:
        """The task with tokens for all these models.

        Raises:
            ArgumentError: if two of them have other words, or one has no word to hide others behind.
        """
        bound, addresses = super().reading(models)
        (first, own), *others = bound.tokenizer_views.items()
        for name, tokenizer_view in others:
            if content(tokenizer_view.tokenizer) != content(own.tokenizer):
                raise ArgumentError(
                    f"models.{name} has another tokenizer than models.{first}; masked words need models of one "
                    "vocabulary",
                    code="mismatch",
                    path=f"models.{name}",
                )
        bound.words(0)
        return bound, addresses

    def words(self, seed: int, share: float = _measured) -> MlmMasking:
        """Which words are hidden."""
        return MlmMasking(next(iter(self.tokenizer_views.values())).tokenizer, share=share, seed=seed)

    def check_model(self, label: str, model: nn.Module, inputs: Address = "batch.inputs") -> None:
        """Refuse a model that cannot turn one row into logits over its words."""
        words: Any = model.tokenizer
        entries = getattr(getattr(model, "config", None), "vocab_size", len(words))
        check_reads(label, model, self.example, inputs, [1, self.example["target"].shape[1], entries])

    # Batches.

    def read(self, rows: UnlabelledTexts, numbers: Tensor) -> Batch:
        return masked(read_rows(rows, numbers, self.tokenizer_views), self.words(_fixed))

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
        texts = TextBatches(rows, plan, self.tokenizer_views, rank=rank, world=world, views=views, cached=cached)
        return MaskedBatches(
            texts, self.words(seed, self.settings.masked) if rows.masked else None
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
    def num_views(self) -> int | None:
        return None if self.settings.masked else 1

    def views_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the views of the rows that caches hold."""
        return {
            "texts": training.rows.fingerprint(),
            "masked": self.settings.masked,
            "readings": self._fingerprints,
        }

    # Judgement.

    def evaluation(self, rows: UnlabelledTexts) -> Iterator[Batch]:
        """All rows once, from short to long, always with the same words hidden."""
        for batch in whole_texts(rows, _evaluation_batch, self.tokenizer_views):
            yield masked(batch, self.words(_fixed))

    def measured(self, outputs: Mapping[str, Any], batch: Batch) -> Arrays:
        """The outputs for masked tokens as `limbeck.measure.masked_token_outputs` computes them: ``[B, M]`` each, for
        up to M masked tokens of a row."""
        is_masked = batch["masked"].cpu()
        logits = outputs["logits"][is_masked.to(outputs["logits"].device)].double().cpu().numpy()
        found = masked_token_outputs(logits, batch["target"].cpu()[is_masked].numpy())
        return {name: _of_rows(values, is_masked, 0) for name, values in found.items()}

    def labels(self, batch: Batch) -> Arrays:
        """The masked tokens, ``[B, M]``."""
        is_masked = batch["masked"].cpu()
        return {"target": _of_rows(batch["target"].cpu()[is_masked].numpy(), is_masked, UNKNOWN)}

    # What is left of it.

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Nothing: another recipe continues with the model.

        Raises:
            ExportError: always.
        """
        raise ExportError(
            "a masked language model is not exported; load models/student with from_pretrained", code="unsupported"
        )


def _of_rows(values: NDArray[Any], is_masked: Tensor, missing: int) -> NDArray[Any]:
    """Values of masked tokens, in the order of the rows, as ``[B, M]``."""
    counts = is_masked.sum(1).numpy()
    padded = np.full((len(counts), int(counts.max(initial=0))), missing, values.dtype)
    padded[np.arange(padded.shape[1]) < counts[:, None]] = values
    return padded
