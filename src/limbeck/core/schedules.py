"""Numbers that change with the optimizer step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from limbeck.errors import ArgumentError
from limbeck.registry import register

__all__ = ["Constant", "Cosine", "Linear", "Schedule", "Step", "as_schedule"]

Schedule: TypeAlias = Callable[[int], float]


def _check_steps(name: str, steps: int) -> None:
    if steps < 1:
        raise ArgumentError(f"{name}: steps is {steps}; it must be at least 1 optimizer step", path="steps")


@register("schedule", "constant")
@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same value at every step.

    >>> Constant(value=0.5)(100)
    0.5
    """

    value: float

    def __call__(self, step: int) -> float:
        return self.value


@register("schedule", "linear")
@dataclass(frozen=True, kw_only=True)
class Linear:
    """From ``start`` to ``end`` along a straight line over ``steps`` optimizer steps, then ``end``.

    >>> [Linear(start=0.0, end=1.0, steps=4)(step) for step in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _check_steps("linear", self.steps)

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(step / self.steps, 1.0)


@register("schedule", "cosine")
@dataclass(frozen=True, kw_only=True)
class Cosine:
    """From ``start`` to ``end`` along half a cosine over ``steps`` optimizer steps, then ``end``.

    >>> [round(Cosine(start=1.0, end=0.0, steps=4)(step), 3) for step in (0, 2, 4)]
    [1.0, 0.5, 0.0]
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _check_steps("cosine", self.steps)

    def __call__(self, step: int) -> float:
        progress = min(step / self.steps, 1.0)
        return self.end + (self.start - self.end) * 0.5 * (1.0 + math.cos(math.pi * progress))


@register("schedule", "step")
@dataclass(frozen=True, kw_only=True)
class Step:
    """``start``, multiplied by ``factor`` after every ``steps`` optimizer steps.

    >>> [Step(start=1.0, factor=0.1, steps=10)(step) for step in (0, 9, 10)]
    [1.0, 1.0, 0.1]
    """

    start: float
    factor: float
    steps: int

    def __post_init__(self) -> None:
        _check_steps("step", self.steps)

    def __call__(self, step: int) -> float:
        return float(self.start * self.factor ** (step // self.steps))


def as_schedule(value: float | Schedule) -> Schedule:
    """A number as the schedule that always gives it; any callable of the step as it is."""
    return value if callable(value) else Constant(value=float(value))
