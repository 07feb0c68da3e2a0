"""Where the batches of a training come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from torch import Tensor

__all__ = ["Batch", "BatchSource", "Inputs", "OnPolicySource", "Student"]

Batch: TypeAlias = dict[str, Any]
Inputs: TypeAlias = Tensor | Mapping[str, Tensor]


class BatchSource(Protocol):
    """Batches as a function of the step alone."""

    @property
    def reads_student(self) -> bool:
        """False: batches may be made ahead."""

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Batch]:
        """The batches of the steps from ``start_step`` up to ``stop_step``, counted over all epochs from 0."""

    @property
    def entries(self) -> int:
        """The number of entries of a cache of teacher outputs: one per row, or one per word."""

    def query(self, entries: Tensor, views: Tensor) -> tuple[Batch, Any]:
        """The batch that a teacher is given for these entries, and the index of each entry in its output."""


class Student(Protocol):
    """The student as it is at a step: in eval mode, without gradients, its state preserved."""

    step: int

    def __call__(self, inputs: Inputs) -> Mapping[str, Any]:
        """The outputs for these inputs, by name."""

    def generate(self, inputs: Inputs, *, seed: int) -> Tensor:
        """What its ``generate`` writes, drawn with this seed."""


class OnPolicySource(Protocol):
    """Batches that depend on the student as it is at the step: on-policy learning."""

    @property
    def reads_student(self) -> bool:
        """True: each batch is made when its step begins, never ahead."""

    def batch(self, step: int, student: Student) -> Batch:
        """The batch of a step, counted over all epochs from 0.

        All random draws are functions of the step and the row, so that a resumed training draws the same.
        """
