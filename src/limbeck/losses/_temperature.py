"""Temperatures of softened losses: a number, a schedule of the optimizer step, or learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Self, TypeAlias

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.functional._checks import check_temperature
from limbeck.functional._precision import at_least_float32
from limbeck.registry import Entry, register

__all__ = ["Curriculum", "ScheduledTemperature", "Temperature", "as_temperature", "batch_law"]


@register("temperature", "batch_law")
def batch_law(*, temperature: float, reference_batch_size: int, batch_size: int) -> float:
    """A temperature for another batch size than that for which it was found.

    T(B) = T₀ (B₀ / B)^¼. A rule of thumb without a paper: at four times the batch the softmax is sharpened by √2.

    Args:
        temperature: T₀, a number above 0, found with the reference batch size.
        reference_batch_size: B₀, rows, at least 1.
        batch_size: B, the rows of one optimizer step, over all processes and micro-batches. In a recipe it is
            train.batch_size, and is not typed again.

    Returns:
        T(B), to be given to a softened loss.

    Raises:
        ArgumentError: if an argument is out of range.

    Example:
        >>> batch_law(temperature=4.0, reference_batch_size=64, batch_size=1024)
        2.0
    """
    check_temperature("batch_law", temperature)
    for name, size in (("reference_batch_size", reference_batch_size), ("batch_size", batch_size)):
        if size < 1:
            raise ArgumentError(f"batch_law: {name} is {size}, expected at least 1 row")
    return float(temperature * (reference_batch_size / batch_size) ** 0.25)


@register("temperature", "curriculum")
class Curriculum(nn.Module):
    """A learned temperature that grows harder for the student: its gradient is reversed, at first weakly, then fully.

    T = T_low + (T_high − T_low) σ(p). The parameter p is trained with the student, by the gradient −λ ∂L/∂p: it raises
    the loss that the student lowers. λ = ½ (1 − cos(π min(step / steps, 1))) goes from 0 to 1. The parameter begins at
    1, so T at T_low + 0.731 (T_high − T_low), and is the same for all rows; the paper's variant that predicts one T for
    each row is not done. The gradient reaches p through T² as well, as it does in the authors' code.

    Args:
        steps: optimizer steps until λ is 1, at least 1; 10 epochs in the paper.
        lowest: T_low, a number above 0.
        highest: T_high, above T_low.

    Raises:
        ArgumentError: if an argument is out of range.

    Example:
        >>> round(Curriculum(steps=100)().item(), 4)
        15.6212

    Li, Li, Yang, Zhao, Song, Luo, Li and Yang, 2023, "Curriculum Temperature for Knowledge Distillation",
    arXiv:2211.16231.
    """

    reversal: Tensor

    def __init__(self, *, steps: int, lowest: float = 1.0, highest: float = 21.0) -> None:
        super().__init__()
        if steps < 1:
            raise ArgumentError(f"curriculum: steps is {steps}, expected at least 1 optimizer step")
        check_temperature("curriculum", lowest)
        if not lowest < highest < math.inf:
            raise ArgumentError(f"curriculum: highest is {highest}, expected a finite number above lowest, {lowest}")
        self.steps = steps
        self.lowest = lowest
        self.highest = highest
        self.level = nn.Parameter(torch.ones(()))
        # Not in the state: it follows from the step.
        self.register_buffer("reversal", torch.zeros(()), persistent=False)

    def forward(self) -> Tensor:
        level = at_least_float32(self.level)
        # The value is that of the parameter to the last bit, the gradient −λ times.
        turned = level.detach() - self.reversal * (level - level.detach())
        return self.lowest + (self.highest - self.lowest) * turned.sigmoid()

    def follow_step(self, step: int) -> None:
        """Raise λ to that of this optimizer step."""
        self.reversal.fill_(0.5 * (1.0 - math.cos(math.pi * min(step / self.steps, 1.0))))

    def extra_repr(self) -> str:
        return f"steps={self.steps}, lowest={self.lowest}, highest={self.highest}"


class ScheduledTemperature(nn.Module):
    """The temperature that a schedule gives for the current optimizer step, as a tensor: compiled code reads it.

    Args:
        operation: the loss, for errors.
        schedule: T for each optimizer step.

    Raises:
        ArgumentError: at the start and in `follow_step`, if it is not a finite number above 0.
    """

    value: Tensor

    def __init__(self, operation: str, schedule: Callable[[int], float]) -> None:
        super().__init__()
        self.operation = operation
        self.schedule = schedule
        self.step = 0
        # Not in the state: it follows from the step, and a changed recipe must not get its old temperature back.
        self.register_buffer("value", torch.tensor(self._at(0), dtype=torch.float32), persistent=False)

    def forward(self) -> Tensor:
        return self.value

    def follow_step(self, step: int) -> None:
        """Take the temperature of this optimizer step."""
        self.step = step
        self.value.fill_(self._at(step))

    def _at(self, step: int) -> float:
        temperature = float(self.schedule(step))
        check_temperature(f"{self.operation}, at step {step}", temperature)
        return temperature

    def extra_repr(self) -> str:
        return f"schedule={self.schedule}"

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # At least float32, and exact in float64.
        if not self.value.is_meta:
            self.value = torch.full_like(at_least_float32(self.value), self._at(self.step))
        return self


Temperature: TypeAlias = Annotated[float | Callable[[int], float] | Curriculum, Entry("schedule", "temperature")]


def as_temperature(operation: str, temperature: Temperature) -> float | nn.Module:
    """A number as it is; a schedule as a module that follows the optimizer step; a module as it is.

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.
    """
    if isinstance(temperature, nn.Module):
        return temperature
    if callable(temperature):
        return ScheduledTemperature(operation, temperature)
    check_temperature(operation, temperature)
    return temperature
