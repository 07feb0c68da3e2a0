"""Softened distributions: logits at a temperature, which is a number, a schedule or a module."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self, TypeAlias

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._centred import centred_unit
from limbeck.losses._checks import check_same_logits, check_temperature
from limbeck.losses._temperatures import Curriculum
from limbeck.losses.precision import at_least_float32
from limbeck.registry import Entry

__all__ = [
    "ScheduledTemperature",
    "SoftenedLoss",
    "Temperature",
    "TemperatureLoss",
    "as_temperature",
    "check_softened_inputs",
    "scaled_logits",
]


def check_softened_inputs(operation: str, student: Tensor, teacher: Tensor, temperature: float | Tensor) -> None:
    """Reject a temperature out of range, and logits that are not two floating tensors of one shape `[*, C]`."""
    check_same_logits(operation, student, teacher)
    check_temperature(operation, temperature, student.shape[:-1])


def scaled_logits(logits: Tensor, temperature: float | Tensor, standardize: bool) -> Tensor:
    """Logits at a temperature: z / T, or with logit standardization (z − mean z) / (σ(z) T) of each row.

    σ is the population's standard deviation over the classes, as in algorithm 1 of the paper; the authors' code takes
    that of the sample. Equal logits stay equal and give the uniform distribution. `standardize` makes the distribution
    invariant to the scale of the logits, so the student need not match the teacher's scale.

    Sun, Ren, Li, Wang and Cao, 2024, "Logit Standardization in Knowledge Distillation", arXiv:2403.01427.
    """
    logits = at_least_float32(logits)
    if isinstance(temperature, Tensor) and temperature.ndim:
        temperature = temperature.unsqueeze(-1)
    if standardize:
        return centred_unit(logits)[0] * (math.sqrt(logits.shape[-1]) / temperature)
    unchanged = not isinstance(temperature, Tensor) and temperature == 1.0
    return logits if unchanged else logits / temperature


class ScheduledTemperature(nn.Module):
    """The temperature of a schedule at the current optimizer step, as a tensor that compiled code reads.

    Args:
        operation: the loss, for errors.
        schedule: a function from the optimizer step to T.

    Raises:
        ArgumentError: at construction and in `follow_step`, if the temperature is not a finite number above 0.
    """

    value: Tensor

    def __init__(self, operation: str, schedule: Callable[[int], float]) -> None:
        super().__init__()
        self.operation = operation
        self.schedule = schedule
        self.step = 0
        # Not in the state: it follows from the step, and a changed recipe must not restore its old temperature.
        self.register_buffer("value", torch.tensor(self._at(0), dtype=torch.float32), persistent=False)

    def forward(self) -> Tensor:
        return self.value

    def follow_step(self, step: int) -> None:
        """Set the temperature of this optimizer step."""
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
        # In at least float32, and computed again so that it is exact in float64.
        if not self.value.is_meta:
            self.value = torch.full_like(at_least_float32(self.value), self._at(self.step))
        return self


Temperature: TypeAlias = Annotated[float | Callable[[int], float] | Curriculum, Entry("schedule", "temperature")]


def as_temperature(operation: str, temperature: Temperature) -> float | nn.Module:
    """A number or a module unchanged; a schedule as a module that follows the optimizer step.

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.
    """
    if isinstance(temperature, nn.Module):
        return temperature
    if callable(temperature):
        return ScheduledTemperature(operation, temperature)
    check_temperature(operation, temperature)
    return temperature


class TemperatureLoss(nn.Module):
    """A loss with a temperature."""

    def __init__(self, operation: str, temperature: Temperature) -> None:
        super().__init__()
        self.temperature = as_temperature(operation, temperature)

    @property
    def current_temperature(self) -> float | Tensor:
        """T at the current optimizer step: a number, or a 0-d tensor if it is scheduled or learned."""
        temperature = self.temperature
        if isinstance(temperature, nn.Module):
            value: Tensor = temperature()
            return value
        return temperature

    def row_temperature(self, temperature: Tensor | None) -> float | Tensor:
        """The current T, or one per row, `[*]`, if a term binds the argument ``temperature``.

        Raises:
            ArgumentError: if rows have their own T and the loss has one that is scheduled or learned.
        """
        if temperature is None:
            return self.current_temperature
        if isinstance(self.temperature, nn.Module):
            raise ArgumentError(
                f"{type(self).__name__}: every row has its own temperature, so {type(self.temperature).__name__} "
                "has no effect; remove one of the two",
                code="no_effect",
                path="temperature",
            )
        return temperature

    def extra_repr(self) -> str:
        # A module is printed as a child.
        return "" if isinstance(self.temperature, nn.Module) else f"temperature={self.temperature}"


class SoftenedLoss(TemperatureLoss):
    """A loss between softmax distributions, with a temperature and optional logit standardization."""

    exclusive: ClassVar = True

    def __init__(self, operation: str, temperature: Temperature, standardize: bool) -> None:
        super().__init__(operation, temperature)
        self.standardize = standardize

    def extra_repr(self) -> str:
        return ", ".join(filter(None, [super().extra_repr(), f"standardize={self.standardize}"]))
