"""What a run asks of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.cache import CachedRows
from limbeck.core import Address
from limbeck.export import Session
from limbeck.measure import Scoring

__all__ = ["Batch", "BatchSource", "Inputs", "Part", "Prediction", "Rows", "Task", "TrainingRows"]

Batch: TypeAlias = dict[str, Any]
Inputs: TypeAlias = Tensor | Mapping[str, Tensor]


class Rows(Protocol):
    """Rows of data, some of them with labels."""

    def __len__(self) -> int: ...

    @property
    def labelled(self) -> Tensor:
        """Bool `[N]`: the rows whose label is known."""

    def fingerprint(self) -> str:
        """A hash of everything in them."""


class BatchSource(Protocol):
    """Batches as a function of the step."""

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Batch]: ...

    @property
    def entries(self) -> int:
        """How many entries a cache of what is said of them has: one for each row, or for each word."""

    def asked(self, entries: Tensor, views: Tensor) -> tuple[Batch, Any]:
        """What a model sees of these views of the rows of these entries, and where each stands in what is said."""


@dataclass(frozen=True)
class TrainingRows:
    """The rows that one model trains on, and in which order."""

    rows: Any
    labelled_only: bool = False


@dataclass(frozen=True)
class Part:
    """Something that a model is made with, chosen by an entry of the registry.

    Args:
        kinds: of these entries.
        default: the one that is taken where a section names none.
        gives: the parameter of a model's constructor that comes from it; a model without that brings its own.
        supplied: the parameters of these entries that the data gives.
    """

    kinds: tuple[str, ...]
    default: str
    gives: str
    supplied: tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """What a file says of one input: as ``limbeck predict --json`` has it, and in a line for people."""

    found: dict[str, Any]
    line: str


class Task(Protocol):
    """What batches hold, how models are built, judged and shipped.

    A class is registered under the kind ``task``; what stands here as a class variable is asked before data is read.
    """

    Settings: ClassVar[type]
    """What a recipe says of the data beside its source."""
    sections: ClassVar[Mapping[str, type]]
    """Of these settings, those that are the options of another class."""
    sources: ClassVar[tuple[str, ...]]
    """The kinds of registry entries that ``data: {use: NAME}`` means."""
    models: ClassVar[tuple[str, ...]]
    """The kinds of registry entries that a model's ``use`` means."""
    pretrained: ClassVar[tuple[str, ...]]
    """Of these, the kinds whose models come with weights."""
    parts: ClassVar[Mapping[str, Part]]
    """What a model's section may say beside the options of its constructor."""
    supplied: ClassVar[tuple[str, ...]]
    """The parameters of their constructors that the data gives, and no recipe."""
    formats: ClassVar[tuple[str, ...]]
    """What a student can be exported as, the usual first; nothing where another recipe goes on with it."""
    counted: ClassVar[Address | None]
    """The mask of what a term on logits alone counts, where a recipe says no ``where``; None for all."""
    fixed: ClassVar[Sequence[str] | None]
    """The outputs of models that have one shape for all rows; None for all."""

    settings: Any
    teacher_rows: TrainingRows
    student_rows: TrainingRows
    labelled_rows: TrainingRows

    @classmethod
    def predictions(
        cls, inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session
    ) -> list[Prediction]:
        """What an exported file says of new inputs.

        Args:
            inputs: texts, or paths of files.
            pairs: a second text for each; empty where rows have one.
            folder: what was shipped beside the file.
            session: of the file.

        Raises:
            LimbeckError: if one cannot be read.
        """

    @classmethod
    def from_objects(cls, data: Any) -> Mapping[str, Any]:
        """What a source would load, from an object that was given in Python."""

    def __init__(self, source: Mapping[str, Any], settings: Any, **others: Mapping[str, Any]) -> None: ...

    @property
    def validation(self) -> Rows: ...

    @property
    def test(self) -> Rows: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each logit."""

    @property
    def scoring(self) -> Scoring:
        """How models are judged."""

    @property
    def notes(self) -> Sequence[str]:
        """What there is to say of the data when a run begins."""

    def reading(self, models: Callable[[], Mapping[str, nn.Module]]) -> tuple[Self, Mapping[str, Address]]:
        """The task with batches that hold what these models read, and for each the address where it stands.

        Args:
            models: builds them, by section; the first is the one whose inputs are ``batch.inputs``.

        Returns:
            The task, and the addresses other than ``batch.inputs``.
        """

    def alone(self, inputs: Address) -> tuple[Self, Address]:
        """The task for a model by itself, and where its batches hold what stands at this address here.

        These batches, their order and their keys depend on no other model.
        """

    @property
    def input(self) -> Mapping[str, Any]:
        """The shape of one input, as config.json and results.json have it."""

    @property
    def example(self) -> Batch:
        """One real row, as a batch."""

    def sample(self, count: int) -> Batch:
        """At most this many training rows, at equal distances, as a batch."""

    def budget(self) -> dict[str, int]:
        """How many labels the student and its control may see."""

    def model(self, build: Callable[..., nn.Module], parts: Mapping[str, Any] = MappingProxyType({})) -> nn.Module:
        """A model for this data, from a constructor that takes some of what is `supplied`."""

    def check_model(self, label: str, model: nn.Module, inputs: Address = "batch.inputs") -> None:
        """Refuse a model that cannot turn one row into logits.

        Raises:
            LimbeckError: with the label in the message.
        """

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
        """The batches that a model trains on, and how many make an epoch.

        Args:
            training: its rows.
            batch_size: of all processes together.
            seed: of the order; and of what changes from view to view, unless ``views`` are given: caches serve every
                seed.
            rank: of this process.
            world: how many there are.
            views: how many looks at each row there are; if None, every epoch has its own.
            cached: what teachers said of these looks.
        """

    @property
    def looks(self) -> int | None:
        """How many looks at a row of the student there are, which views take in turn; None if every view is another."""

    def looks_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the looks at the rows, as caches record it."""

    def key(self, training: TrainingRows) -> dict[str, Any]:
        """What decides these batches, beside the settings of the training."""

    def evaluation(self, rows: Any) -> Iterator[Batch]:
        """All rows in order, as they are."""

    def validate(self, model: nn.Module, inputs: Address = "batch.inputs") -> dict[str, float]:
        """The metric that decides, first, on the validation rows, for a model in eval mode that reads this address."""

    def logits(self, read: Callable[[Batch], Tensor], rows: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Logits and targets of all rows, as the `scoring` takes them; ``read`` turns a batch into logits."""

    def restored(self, spec: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """The section of a model that was shipped into a folder, so that what stands there builds it again."""

    def ship(self, model: nn.Module, folder: Path) -> dict[str, Any]:
        """Write what a model needs beside its weights into a folder; more entries of its config.json."""

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Write the model to an ONNX file.

        Raises:
            ExportError: if it cannot be translated or written.
        """
