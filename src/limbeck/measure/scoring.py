"""What decides how a task's outputs are judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from limbeck import registry
from limbeck.measure.calibration import Bin
from limbeck.measure.metrics import Floats, Integers, Metric

__all__ = ["Scoring", "main_score", "registered"]


class Scoring(Protocol):
    """What targets are, which metrics are told of a model, and which of them decides.

    Logits are ``[N, …, C]`` and targets start with the same N. Rows are what the bootstrap draws: one of them may hold
    any number of decisions, as `Metric.rows` gives the sums of each row, and `Metric.value` makes one number of their
    means.
    """

    @property
    def metrics(self) -> tuple[str, ...]:
        """Registered names. The first, a share that is better when greater, decides: which epoch is best, and whether
        distillation helped."""
        ...

    @property
    def loss(self) -> str:
        """What a model without a teacher learns by, where the recipe names no term on labels."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether classes exclude one another, so that logits are those of a softmax."""
        ...

    def metric(self, name: str) -> Metric:
        """The metric of this name, for logits and targets of these shapes; see `registered`.

        Raises:
            LimbeckError: if there is none.
        """
        ...

    def check(self, target: NDArray[Any], shape: tuple[int, ...]) -> None:
        """Refuse targets that logits of this shape cannot be judged by.

        Raises:
            ArgumentError: which says what was expected.
        """
        ...

    def probabilities(self, logits: Floats) -> Floats:
        """What logits say, of the same shape."""
        ...

    def reliability(self, logits: Floats, target: Integers) -> tuple[Bin, ...]:
        """Decisions by confidence; none where that has no meaning."""
        ...

    def confusion(self, logits: Floats, target: Integers) -> tuple[tuple[int, ...], ...]:
        """How often what was called what; nothing where that has no meaning."""
        ...


def registered(name: str) -> Metric:
    """The metric that is registered under a name.

    Raises:
        LimbeckError: if there is none.
    """
    metric: Metric = registry.lookup("metric", name)()
    return metric


def main_score(scoring: Scoring, logits: Floats, target: Integers) -> Mapping[str, float]:
    """The metric that decides, by its name."""
    name = scoring.metrics[0]
    metric = scoring.metric(name)
    return {name: float(metric.value(np.mean(metric.rows(logits, target, None), axis=0)))}
