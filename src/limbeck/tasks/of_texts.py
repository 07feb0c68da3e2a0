"""What the tasks on texts have in common: how texts are split, read by models, batched and shipped."""

from __future__ import annotations

import copy
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck import registry
from limbeck.cache import CachedRows
from limbeck.core import Address, at, logits_of
from limbeck.data.text_batches import TextBatches, read_rows, whole_texts
from limbeck.data.tokens import Reading
from limbeck.data.word_copies import Looks
from limbeck.errors import ArgumentError, DataError
from limbeck.export import export_onnx
from limbeck.measure import Scoring, main_score
from limbeck.tasks.division import Division, SplitSettings, divide, planned
from limbeck.tasks.readings import (
    addresses_of,
    check_reads,
    check_room,
    cuts,
    given_sets,
    own_reading,
    reading_of,
    readings_of,
    ship_tokenizer,
)
from limbeck.tasks.task import Batch, BatchSource, Part, TrainingRows

__all__ = ["LengthSettings", "OfTexts"]

_evaluation_batch = 64


@dataclass(frozen=True, kw_only=True)
class LengthSettings(SplitSettings):
    """What a recipe says of texts beside their source: what `SplitSettings` has, and

    Args:
        max_length: the most tokens of a row that a model reads, its special marks among them; the others are cut off,
            and the run says of how many rows.
    """

    max_length: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length < 2:
            raise ArgumentError(f"max_length is {self.max_length}; it must be at least 2 tokens")


class OfTexts(ABC):
    """The rows of a source of texts, split; and how models read them.

    Args:
        source: ``train``, and where the source has them ``validation`` and ``test``.
        settings: how to split and to cut them.
        unlabelled: the source of further rows without labels.
        test_from: the source of the test rows, where it is another one.

    Raises:
        DataError: if there are fewer than two classes, rows cannot be split as asked, or the rows of another source do
            not fit.
    """

    rows: ClassVar[type[Any]]
    """What a source loads: a class whose sets are `Readable`."""
    parts: ClassVar[Mapping[str, Part]]
    pretrained: ClassVar[tuple[str, ...]]
    supplied: ClassVar[tuple[str, ...]] = ("classes", "names", "vocabulary")
    counted: ClassVar[Address | None] = None
    fixed: ClassVar[Sequence[str] | None] = ("logits",)
    axes: ClassVar[Mapping[str, Sequence[str]]]
    """What a batch may have for a model, and the names of the axes of each of these in an exported file."""
    of_logits: ClassVar[Sequence[str]]
    """Those of the logits before the classes."""
    of_words: ClassVar[bool]
    """Whether a row is a sequence of words."""

    @classmethod
    def from_objects(cls, data: Any) -> Mapping[str, Any]:
        """What a source would load: sets by name."""
        return given_sets(data, cls.rows)

    def __init__(
        self,
        source: Mapping[str, Any],
        settings: Any,
        *,
        unlabelled: Mapping[str, Any] | None = None,
        test_from: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        rows = self.divided(source, unlabelled=unlabelled, test_from=test_from)
        self.validation, self.test = rows.validation, rows.test
        self.teacher_rows, self.student_rows, self.labelled_rows = rows.teacher, rows.student, rows.labelled
        sets = [data for one in (source, unlabelled or {}, test_from or {}) for data in one.values()]
        self._skipped = tuple(line for data in sets for line in data.skipped)
        self._tokenizers: dict[str, Any] = {}
        self.readings: dict[str, Reading] = {}

    def divided(
        self, source: Mapping[str, Any], *, unlabelled: Mapping[str, Any] | None, test_from: Mapping[str, Any] | None
    ) -> Division[Any]:
        """Which rows are whose.

        Raises:
            DataError: if there are fewer than two classes, rows cannot be split as asked, or the rows of another source
                do not fit.
        """
        if len(source["train"].classes) < 2:
            raise DataError(
                f"the training rows have {len(source['train'].classes)} class(es); a classifier needs at least 2"
            )
        return divide(source, self.settings, self.rows.with_unlabelled, unlabelled=unlabelled, test_from=test_from)

    # What each task says of its own.

    @property
    @abstractmethod
    def scoring(self) -> Scoring:
        """How models are judged."""

    @property
    @abstractmethod
    def input(self) -> dict[str, Any]:
        """The shape of one input, as config.json and results.json have it."""

    @abstractmethod
    def vocabulary(self) -> Sequence[str]:
        """The student's texts, from which its words come."""

    @abstractmethod
    def logits(self, read: Callable[[Batch], Tensor], rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Logits and targets of all rows, as the `scoring` takes them; ``read`` turns a batch into logits."""

    def looks_at(self, training: TrainingRows) -> Looks | None:
        """Other looks at the rows of a training; none where they are always as they are."""
        return None

    # The data.

    @property
    def classes(self) -> tuple[str, ...]:
        names: tuple[str, ...] = self.test.classes
        return names

    @property
    def notes(self) -> list[str]:
        return [f"data: {line}" for line in (*self._skipped, *cuts(self.readings, self.student_rows.rows))]

    def budget(self) -> dict[str, int]:
        """How many labels the student and its control may see."""
        labelled = self.student_rows.rows.labelled
        return {"training": int(labelled.sum()), "unlabelled": int((~labelled).sum())}

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
            (kind,) = self.parts["tokenizer"].kinds
            entry = registry.lookup(kind, spec["use"])
            if "texts" in inspect.signature(entry).parameters:
                options["texts"] = self.vocabulary()
            self._tokenizers[key] = entry(**options)
        return self._tokenizers[key]

    def reading(self, models: Callable[[], Mapping[str, nn.Module]]) -> tuple[Self, dict[str, Address]]:
        """The task with tokens for all these models; those that read as an earlier one does share its address."""
        bound = copy.copy(self)
        bound.readings, addresses = readings_of(models(), self.settings.max_length, of_words=self.of_words)
        check_room(bound.readings, pairs=self.input.get("texts") == 2)
        return bound, addresses

    def alone(self, inputs: Address) -> tuple[Self, Address]:
        """The task for a model by itself: its batches hold its own tokens, and go by their lengths."""
        found = own_reading(inputs, self.readings)
        if found is None:
            return self, inputs
        name, address = found
        bound = copy.copy(self)
        bound.readings = {name: self.readings[name]}
        return bound, address

    def check_model(self, label: str, model: nn.Module, inputs: Address = "batch.inputs") -> None:
        """Refuse a model that cannot turn one row into logits."""
        example = self.example
        check_reads(label, model, example, inputs, [*example["labelled"].shape, len(self.classes)])

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

    def _read(self, rows: Any, numbers: Tensor) -> Batch:
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
    ) -> tuple[BatchSource, int]:
        """The batches that a model trains on, and how many make an epoch."""
        rows = training.rows
        plan = planned(training, self.settings, batch_size=batch_size, seed=seed)
        looks = self.looks_at(training)
        batches = TextBatches(
            rows, plan, self.readings, rank=rank, world=world, views=views, cached=cached, looks=looks
        )
        return batches, plan.steps_per_epoch

    def key(self, training: TrainingRows) -> dict[str, Any]:
        """What decides these batches."""
        looks = self.looks_at(training)
        return {
            **({} if looks is None else {"looks": looks.data.fingerprint()}),
            "rows": training.rows.fingerprint(),
            "labelled_only": training.labelled_only,
            "labelled_share": self.settings.labelled_share,
            "class_balance": self.settings.class_balance,
            "readings": self._fingerprints,
        }

    @property
    def looks(self) -> int | None:
        return 1

    def looks_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the looks at the rows that caches are made of."""
        looks = self.looks_at(training)
        rows = training.rows if looks is None else looks.data
        return {"texts": rows.fingerprint(), "readings": self._fingerprints}

    @property
    def _fingerprints(self) -> dict[str, str]:
        return {address: self.readings[name].fingerprint for name, address in addresses_of(self.readings).items()}

    # Judgement.

    def evaluation(self, rows: Any) -> Iterator[Batch]:
        """All rows once, from short to long."""
        return whole_texts(rows, _evaluation_batch, self.readings)

    def validate(self, model: nn.Module, inputs: Address = "batch.inputs") -> dict[str, float]:
        """The metric that decides, on the validation rows, for a model in eval mode."""
        logits, target = self.logits(partial(logits_of, model, inputs=inputs), self.validation)
        return dict(main_score(self.scoring, logits, target))

    # What is shipped.

    def restored(self, spec: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """The section with the tokenizer, or the model, that stands in the folder."""
        if spec["use"] in registry.names(self.pretrained[0]):
            return {**spec, "folder": str(folder.absolute())}
        return {**spec, "tokenizer": {"use": "folder", "folder": str(folder.absolute())}}

    def ship(self, model: nn.Module, folder: Path) -> dict[str, Any]:
        """Write the tokenizer into the folder; the entries of a Hugging Face model's own config.json."""
        return ship_tokenizer(model, folder)

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Write the model to an ONNX file that takes tokens, in batches of any size and length."""
        reading = reading_of(model, "the model to export", self.settings.max_length, of_words=self.of_words)
        rows = self.validation if len(self.validation) else self.test
        example = read_rows(rows, torch.arange(min(2, len(rows))), {"own": reading}, least=2)
        added = {**{name: str(value) for name, value in self.input.items()}, **metadata}
        export_onnx(
            model,
            file,
            example=at({"batch": example}, "batch.inputs"),
            classes=self.classes,
            metadata=added,
            axes=self.axes,
            of_logits=self.of_logits,
        )
