"""The common base of tasks on texts: splits, tokenization, batches and shipped files."""

from __future__ import annotations

import copy
import inspect
import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from limbeck import registry
from limbeck.cache import CachedRows
from limbeck.core import Address, resolve
from limbeck.data.text_batches import TextBatches, read_rows, whole_texts
from limbeck.data.tokens import TokenizerView
from limbeck.data.word_copies import TextViews
from limbeck.errors import ArgumentError
from limbeck.export import export_onnx
from limbeck.registry import Needs
from limbeck.tasks.batch_source import Batch, BatchSource
from limbeck.tasks.splits import SplitSettings, TrainingRows, planned
from limbeck.tasks.task import Part, Task
from limbeck.tasks.tokenization import (
    addresses_of,
    check_max_length,
    check_reads,
    ship_tokenizer,
    tokenizer_view_at,
    tokenizer_view_of,
    tokenizer_views_of,
    truncation_notes,
)

__all__ = ["LengthSettings", "TextTask", "tokenizer_part"]

_evaluation_batch = 64


def tokenizer_part(reads: str) -> Part:
    """The tokenizer of a model, for rows of ``"texts"`` or of ``"words"``."""
    needs = Needs((reads,), by=f"a task on {reads}")
    return Part("tokenizer", needs, "words", gives="vocabulary", supplied=("texts",))


@dataclass(frozen=True, kw_only=True)
class LengthSettings(SplitSettings):
    """Settings of texts in a recipe, in addition to those of `SplitSettings`.

    Args:
        max_length: the most tokens of a row that a model reads, its special marks among them; the others are cut off,
            and a note says how many rows.
    """

    max_length: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length < 2:
            raise ArgumentError(f"max_length is {self.max_length}; it must be at least 2 tokens", path="max_length")


class TextTask(Task):
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

    needs: ClassVar[Needs] = Needs(("texts",))
    parts: ClassVar[Mapping[str, Part]] = {"tokenizer": tokenizer_part("texts")}
    supplied: ClassVar[tuple[str, ...]] = ("classes", "names", "vocabulary", "per_word")
    static_outputs: ClassVar[Sequence[str] | None] = ("logits",)
    axes: ClassVar[Mapping[str, Sequence[str]]]
    """What a batch may have for a model, and the names of the axes of each of these in an exported file."""

    def __init__(
        self,
        source: Mapping[str, Any],
        settings: Any,
        *,
        unlabelled: Mapping[str, Any] | None = None,
        test_from: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(source, settings, unlabelled=unlabelled, test_from=test_from)
        sets = [data for one in (source, unlabelled or {}, test_from or {}) for data in one.values()]
        self._skipped = tuple(line for data in sets for line in data.skipped)
        self._tokenizers: dict[str, Any] = {}
        self.tokenizer_views: dict[str, TokenizerView] = {}

    @property
    def of_words(self) -> bool:
        """Whether a row is a sequence of words."""
        return self.needs.per == "word"

    # What each task states.

    @abstractmethod
    def vocabulary(self) -> Sequence[str]:
        """The student's texts, from which its words come."""

    def views_of(self, training: TrainingRows) -> TextViews | None:
        """The views of the rows of a training; None if each row has only one."""
        return None

    # The data.

    @property
    def classes(self) -> tuple[str, ...]:
        names: tuple[str, ...] = self.test.classes
        return names

    @property
    def notes(self) -> list[str]:
        return [
            f"data: {line}"
            for line in (*self._skipped, *truncation_notes(self.tokenizer_views, self.student_rows.rows))
        ]

    # Models, and how they read.

    def build(
        self,
        make: Callable[..., nn.Module],
        role: str = "student",
        parts: Mapping[str, Any] = MappingProxyType({}),
    ) -> nn.Module:
        """A model for these classes; ``tokenizer`` is what it reads with."""
        tokenizer = parts.get("tokenizer")
        if tokenizer is None:
            return make(names=self.classes)
        made = self._tokenizer(tokenizer)
        model = make(classes=len(self.classes), vocabulary=len(made))
        model.tokenizer = made
        return model

    def _tokenizer(self, spec: Mapping[str, Any]) -> Any:
        key = json.dumps(spec, sort_keys=True)
        if key not in self._tokenizers:
            options = {name: value for name, value in spec.items() if name != "use"}
            part = self.parts["tokenizer"]
            entry = registry.lookup(part.kind, spec["use"], part.needs)
            if "texts" in inspect.signature(entry).parameters:
                options["texts"] = self.vocabulary()
            self._tokenizers[key] = entry(**options)
        return self._tokenizers[key]

    def reading(self, models: Callable[[], Mapping[str, nn.Module]]) -> tuple[Self, dict[str, Address]]:
        """The task with tokens for all these models; those that read as an earlier one does share its address."""
        bound = copy.copy(self)
        bound.tokenizer_views, addresses = tokenizer_views_of(
            models(), self.settings.max_length, of_words=self.of_words
        )
        check_max_length(bound.tokenizer_views, pairs=self.input.get("texts") == 2)
        return bound, addresses

    def alone(self, inputs: Address) -> tuple[Self, Address]:
        """The task for a model by itself: its batches hold its own tokens, and go by their lengths."""
        found = tokenizer_view_at(inputs, self.tokenizer_views)
        if found is None:
            return self, inputs
        name, address = found
        bound = copy.copy(self)
        bound.tokenizer_views = {name: self.tokenizer_views[name]}
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
        lengths = next(iter(self.tokenizer_views.values())).of(rows).lengths[rows.position]
        return self.read(rows, lengths.argmax()[None])

    def collate(self, rows: Any, numbers: Tensor, views: Tensor) -> Batch:
        """The tokens of these rows for every model, and their labels."""
        return self.read(rows, numbers)

    def read(self, rows: Any, numbers: Tensor) -> Batch:
        # At least two: torch.export takes a size of 1 for a constant.
        return read_rows(rows, numbers, self.tokenizer_views, least=2)

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
        text_views = self.views_of(training)
        batches = TextBatches(
            rows, plan, self.tokenizer_views, rank=rank, world=world, views=views, cached=cached, text_views=text_views
        )
        return batches, plan.steps_per_epoch

    def key(self, training: TrainingRows) -> dict[str, Any]:
        """What decides these batches."""
        text_views = self.views_of(training)
        return {
            **({} if text_views is None else {"views": text_views.data.fingerprint()}),
            "rows": training.rows.fingerprint(),
            "labelled_only": training.labelled_only,
            "labelled_share": self.settings.labelled_share,
            "class_balance": self.settings.class_balance,
            "readings": self._fingerprints,
        }

    def views_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the views of the rows that caches hold."""
        text_views = self.views_of(training)
        rows = training.rows if text_views is None else text_views.data
        return {"texts": rows.fingerprint(), "readings": self._fingerprints}

    @property
    def _fingerprints(self) -> dict[str, str]:
        return {
            address: self.tokenizer_views[name].fingerprint
            for name, address in addresses_of(self.tokenizer_views).items()
        }

    # Judgement.

    def evaluation(self, rows: Any) -> Iterator[Batch]:
        """All rows once, from short to long."""
        return whole_texts(rows, _evaluation_batch, self.tokenizer_views)

    # What is shipped.

    def restored(self, spec: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """The section with the tokenizer, or the model, that stands in the folder."""
        if any(entry.pretrained for entry in registry.capabilities("model", spec["use"], self.needs)):
            return {**spec, "folder": str(folder.absolute())}
        return {**spec, "tokenizer": {"use": "folder", "folder": str(folder.absolute())}}

    def ship(self, model: nn.Module, folder: Path) -> dict[str, Any]:
        """Write the tokenizer into the folder; the entries of a Hugging Face model's own config.json."""
        return ship_tokenizer(model, folder, self.settings.max_length)

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Write the model to an ONNX file that takes tokens, in batches of any size and length."""
        tokenizer_view = tokenizer_view_of(
            model, "the model to export", self.settings.max_length, of_words=self.of_words
        )
        rows = self.validation if len(self.validation) else self.test
        example = read_rows(rows, torch.arange(min(2, len(rows))), {"own": tokenizer_view}, least=2)
        added = {**{name: str(value) for name, value in self.input.items()}, **metadata}
        export_onnx(
            model,
            file,
            example=resolve({"batch": example}, "batch.inputs"),
            outputs={name: spec.export_axes for name, spec in self.outputs.items()},
            names={"logits": self.classes},
            metadata=added,
            axes=self.axes,
        )
