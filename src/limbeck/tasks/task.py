"""What a run asks of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.cache import CachedRows
from limbeck.core import Address

__all__ = ["Batch", "BatchSource", "Inputs", "Rows", "Task", "TrainingRows"]

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

    def look(self, row: Tensor, view: Tensor) -> Inputs:
        """What a model sees of these views of these rows."""


@dataclass(frozen=True)
class TrainingRows:
    """The rows that one model trains on, and in which order."""

    rows: Any
    labelled_only: bool = False


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
    supplied: ClassVar[tuple[str, ...]]
    """The parameters of their constructors that the data gives, and no recipe."""
    metric: ClassVar[str]
    """The one that decides: which epoch is best, and whether distillation helped."""

    settings: Any
    teacher_rows: TrainingRows
    student_rows: TrainingRows
    labelled_rows: TrainingRows

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
    def input(self) -> Mapping[str, Any]:
        """The shape of one input, as config.json and results.json have it."""

    @property
    def example(self) -> Batch:
        """One real row, as a batch."""

    def sample(self, count: int) -> Batch:
        """At most this many training rows, at equal distances, as a batch."""

    def budget(self) -> dict[str, int]:
        """How many labels the student and its control may see."""

    def model(self, build: Callable[..., nn.Module]) -> nn.Module:
        """A model for this data, from a constructor that takes what is `supplied`."""

    def check_model(self, label: str, model: nn.Module) -> None:
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
    def varies(self) -> bool:
        """Whether a row looks different from view to view."""

    def looks_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the looks at the rows, as caches record it."""

    def key(self, training: TrainingRows) -> dict[str, Any]:
        """What decides these batches, beside the settings of the training."""

    def evaluation(self, rows: Any) -> Iterator[Batch]:
        """All rows in order, as they are."""

    def validate(self, model: nn.Module, inputs: Address = "batch.inputs") -> dict[str, float]:
        """The `metric`, first, on the validation rows, for a model in eval mode that reads this address."""

    def logits(self, read: Callable[[Batch], Tensor], rows: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Logits ``[N, C]`` and targets ``[N]`` of all rows; ``read`` turns a batch into logits."""

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Write the model to an ONNX file.

        Raises:
            ExportError: if it cannot be translated or written.
        """
