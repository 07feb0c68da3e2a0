"""Trainings that go through the same steps in turns, and the time that each turn takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from limbeck import Distiller, Term
from limbeck.core import Teacher
from limbeck.data import Batch
from limbeck.losses import CrossEntropy, KLDivergence

__all__ = ["Source", "Spread", "clock", "in_turns", "trainer"]

Train = Callable[[int, int], None]


class Source(Protocol):
    """Batches by the number of their step."""

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Batch]: ...


class Spread(NamedTuple):
    """The median of some values, and their quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(*(float(at) for at in np.percentile(values, [25, 50, 75])))

    def text(self, digits: int) -> str:
        """As in "1.02 (1.01 to 1.04)"."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def clock() -> float:
    """Seconds: with one thread those of the processor, which other work on the machine touches less."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def trainer(student: nn.Module, batches: Source, learning_rate: float, teacher: Teacher | None = None) -> Train:
    """Trains a student from one step to another: by its labels, and by a teacher's outputs if there is one."""
    terms = {"hard": Term(CrossEntropy())}
    if teacher is not None:
        terms["soft"] = Term(KLDivergence(temperature=2.0))
    distiller = Distiller(student, terms, {} if teacher is None else {"teacher": teacher}).train()
    distiller.prepare(list(batches.iterate(0, 1)))
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=learning_rate)
    distiller.attach(optimizer)

    def train(start: int, stop: int) -> None:
        for batch in batches.iterate(start, stop):
            distiller(batch).loss().backward()
            optimizer.step()
            optimizer.zero_grad()

    return train


def in_turns(runs: Mapping[str, Train], steps: int, turn: int) -> dict[str, list[float]]:
    """Seconds of each turn of each training, without the first, which finds everything cold."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for start in range(0, steps, turn):
        for name, train in runs.items():
            begin = clock()
            train(start, min(start + turn, steps))
            seconds[name].append(clock() - begin)
    return {name: found[1:] for name, found in seconds.items()}
