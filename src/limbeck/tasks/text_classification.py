"""Text classification: one class for each text or pair of texts."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck import registry
from limbeck.cache import CachedRows
from limbeck.core import Address, at, logits_of
from limbeck.data.text_batches import TextBatches, read_rows, whole_texts
from limbeck.data.texts import TextSet
from limbeck.data.tokens import Reading
from limbeck.data.word_copies import Looks, WordCopies
from limbeck.errors import ArgumentError, DataError
from limbeck.export import Session, export_onnx
from limbeck.measure import SingleLabel, main_score
from limbeck.registry import register
from limbeck.students import folder_tokenizer
from limbeck.tasks.division import SplitSettings, divide, planned
from limbeck.tasks.readings import check_reads, cuts, given_texts, reading_of, readings_of, ship_tokenizer
from limbeck.tasks.single_label import most_likely
from limbeck.tasks.task import Batch, Part, Prediction, TrainingRows

__all__ = ["TextClassification", "TextSettings"]

_evaluation_batch = 64


@dataclass(frozen=True, kw_only=True)
class TextSettings(SplitSettings):
    """What a recipe says of texts beside their source: what `SplitSettings` has, and

    Args:
        max_length: the most tokens of a row that a model reads; the others are cut off, and the run says of how many
            rows.
        augment: copies in other words of the rows of the student and its control, as `limbeck.data.WordCopies` makes
            them; a teacher learns from the texts as they are.
    """

    max_length: int = 128
    augment: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length < 2:
            raise ArgumentError(f"max_length is {self.max_length}; it must be at least 2 tokens")


@register("task", "text_classification")
class TextClassification:
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
    supplied: ClassVar = ("classes", "names", "vocabulary")
    parts: ClassVar = {"tokenizer": Part(("tokenizer",), "words", gives="vocabulary", supplied=("texts",))}
    fixed: ClassVar = ("logits",)
    scoring: ClassVar = SingleLabel()
    formats: ClassVar = ("onnx", "int8")

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
        return most_likely(session(reading.inputs(tokens, torch.arange(len(inputs)))), session.classes)

    @classmethod
    def from_objects(cls, data: Any) -> Mapping[str, TextSet]:
        """What a source would load: sets of texts by name."""
        return given_texts(data)

    def __init__(
        self,
        source: Mapping[str, TextSet],
        settings: TextSettings,
        *,
        unlabelled: Mapping[str, TextSet] | None = None,
        test_from: Mapping[str, TextSet] | None = None,
    ) -> None:
        if len(source["train"].classes) < 2:
            raise DataError(
                f"the training rows have {len(source['train'].classes)} class(es); a classifier needs at least 2"
            )
        self.settings = settings
        rows = divide(source, settings, TextSet.with_unlabelled, unlabelled=unlabelled, test_from=test_from)
        self.validation, self.test = rows.validation, rows.test
        self.teacher_rows, self.student_rows, self.labelled_rows = rows.teacher, rows.student, rows.labelled
        sets = [data for one in (source, unlabelled or {}, test_from or {}) for data in one.values()]
        self._skipped = tuple(line for data in sets for line in data.skipped)
        self._tokenizers: dict[str, Any] = {}
        self.readings: dict[str, Reading] = {}

    # The data.

    @property
    def classes(self) -> tuple[str, ...]:
        return self.test.classes

    @property
    def input(self) -> dict[str, Any]:
        return {"texts": self.test.shape[0], "max_length": self.settings.max_length}

    @property
    def notes(self) -> list[str]:
        return [
            f"data: {line}" for line in (*self._skipped, *cuts(self.readings, self.student_rows.rows), *self._copied())
        ]

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
        labelled = self.student_rows.rows.labelled
        found = {"training": int(labelled.sum()), "unlabelled": int((~labelled).sum())}
        return found if self._looks is None else {**found, "copies": self._looks.copies}

    # Models, and how they read.

    def model(self, build: Callable[..., nn.Module], parts: Mapping[str, Any] = MappingProxyType({})) -> nn.Module:
        """A model for these classes; ``tokenizer`` is what it reads with."""
        tokenizer = parts.get("tokenizer")
        if tokenizer is None:
            return build(names=self.classes)
        made = self._tokenizer(tokenizer)
        model = build(classes=len(self.classes), vocabulary=len(made))
        model.tokenizer = made
        return model

    def _tokenizer(self, spec: Mapping[str, Any]) -> Any:
        key = json.dumps(spec, sort_keys=True)
        if key not in self._tokenizers:
            options = {name: value for name, value in spec.items() if name != "use"}
            entry = registry.lookup("tokenizer", spec["use"])
            if "texts" in inspect.signature(entry).parameters:
                options["texts"] = [text for row in self.student_rows.rows.texts for text in row]
            self._tokenizers[key] = entry(**options)
        return self._tokenizers[key]

    def reading(self, models: Callable[[], Mapping[str, nn.Module]]) -> tuple[Self, dict[str, Address]]:
        """The task with tokens for all these models; those that read as an earlier one does share its address."""
        bound = copy.copy(self)
        bound.readings, addresses = readings_of(models(), self.settings.max_length)
        return bound, addresses

    def check_model(self, label: str, model: nn.Module, inputs: Address = "batch.inputs") -> None:
        """Refuse a model that cannot turn one row into logits."""
        check_reads(label, model, self.example, inputs, [1, len(self.classes)])

    # Batches.

    @property
    def example(self) -> Batch:
        """The longest validation or test row."""
        rows = self.validation if len(self.validation) else self.test
        lengths = next(iter(self.readings.values())).of(rows).lengths[rows.place]
        return self._read(rows, lengths.argmax()[None])

    def sample(self, count: int) -> Batch:
        """At most this many training rows, at equal distances, as a batch."""
        rows = self.teacher_rows.rows
        return self._read(rows, torch.arange(0, len(rows), -(-len(rows) // count)))

    def _read(self, rows: TextSet, numbers: Tensor) -> Batch:
        # At least two: torch.export takes a size of 1 for a constant.
        return read_rows(rows, numbers, self.readings, least=2)

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
    ) -> tuple[TextBatches, int]:
        """The batches that a model trains on, and how many make an epoch."""
        rows = training.rows
        plan = planned(training, self.settings, batch_size=batch_size, seed=seed)
        looks = self._looks_of(training)
        batches = TextBatches(
            rows, plan, self.readings, rank=rank, world=world, views=views, cached=cached, looks=looks
        )
        return batches, plan.steps_per_epoch

    def _looks_of(self, training: TrainingRows) -> Looks | None:
        return None if training is self.teacher_rows else self._looks

    def key(self, training: TrainingRows) -> dict[str, Any]:
        """What decides these batches."""
        looks = self._looks_of(training)
        return {
            **({} if looks is None else {"looks": looks.data.fingerprint()}),
            "rows": training.rows.fingerprint(),
            "labelled_only": training.labelled_only,
            "labelled_share": self.settings.labelled_share,
            "class_balance": self.settings.class_balance,
            "readings": self._fingerprints,
        }

    @property
    def looks(self) -> int:
        return 1 if self.settings.augment is None else 1 + WordCopies(**self.settings.augment).copies

    def looks_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the looks at the rows that caches are made of."""
        looks = self._looks_of(training)
        rows = training.rows if looks is None else looks.data
        return {"texts": rows.fingerprint(), "readings": self._fingerprints}

    @property
    def _fingerprints(self) -> dict[str, str]:
        return {name: reading.fingerprint for name, reading in self.readings.items()}

    # Judgement.

    def evaluation(self, rows: TextSet) -> Iterator[Batch]:
        """All rows once, from short to long."""
        return whole_texts(rows, _evaluation_batch, self.readings)

    def validate(self, model: nn.Module, inputs: Address = "batch.inputs") -> dict[str, float]:
        """The metric that decides, on the validation rows, for a model in eval mode."""
        logits, target = self.logits(partial(logits_of, model, inputs=inputs), self.validation)
        return dict(main_score(self.scoring, logits, target))

    def logits(self, read: Callable[[Batch], Tensor], rows: TextSet) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The logits ``[N, C]`` and targets ``[N]`` of all rows, in order; ``read`` turns a batch into logits."""
        logits = torch.empty(len(rows), len(self.classes), dtype=torch.float64)
        for batch in self.evaluation(rows):
            logits[batch["row"]] = read(batch).double().cpu()
        return logits.numpy(), rows.target.numpy()

    # What is shipped.

    def restored(self, spec: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """The section with the tokenizer, or the model, that stands in the folder."""
        if spec["use"] in registry.names("pretrained_text_model"):
            return {**spec, "folder": str(folder.absolute())}
        return {**spec, "tokenizer": {"use": "folder", "folder": str(folder.absolute())}}

    def ship(self, model: nn.Module, folder: Path) -> dict[str, Any]:
        """Write the tokenizer into the folder; the entries of a Hugging Face model's own config.json."""
        return ship_tokenizer(model, folder)

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Write the model to an ONNX file that takes tokens, in batches of any size and length."""
        reading = reading_of(model, "the model to export", self.settings.max_length)
        rows = self.validation if len(self.validation) else self.test
        example = read_rows(rows, torch.arange(min(2, len(rows))), {"own": reading}, least=2)
        added = {"max_length": str(self.settings.max_length), "texts": str(rows.shape[0]), **metadata}
        export_onnx(
            model,
            file,
            example=at({"batch": example}, "batch.inputs"),
            classes=self.classes,
            metadata=added,
            axes=("batch", "length"),
        )
