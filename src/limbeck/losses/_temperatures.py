"""The temperatures that a recipe can name: a rule for the batch size, and a learned curriculum."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import check_temperature
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["Curriculum", "batch_law"]


@register("temperature", "batch_law")
def batch_law(*, temperature: float, reference_batch_size: int, batch_size: int) -> float:
    """A temperature for another batch size than the one it was tuned for.

    T(B) = T₀ (B₀ / B)^¼. This is a rule of thumb without a paper: four times the batch size divides the temperature by
    √2.

    Args:
        temperature: T₀, a number above 0, tuned with the reference batch size.
        reference_batch_size: B₀, rows, at least 1.
        batch_size: B, the rows of one optimizer step, over all processes and micro-batches. A recipe takes it from
            train.batch_size.

    Returns:
        T(B), for the temperature of a softened loss.

    Raises:
        ArgumentError: if an argument is out of range.

    Example:
        >>> batch_law(temperature=4.0, reference_batch_size=64, batch_size=1024)
        2.0
    """
    check_temperature("batch_law", temperature)
    for name, size in (("reference_batch_size", reference_batch_size), ("batch_size", batch_size)):
        if size < 1:
            raise ArgumentError(f"batch_law: {name} is {size}, expected at least 1 row", path=name)
    return float(temperature * (reference_batch_size / batch_size) ** 0.25)


@register("temperature", "curriculum")
class Curriculum(nn.Module):
    """A learned temperature with a reversed gradient, which makes the task harder for the student step by step.

    T = T_low + (T_high − T_low) σ(p). The parameter p is trained with the student, by the gradient −λ ∂L/∂p, so it
    raises the loss that the student lowers. λ = ½ (1 − cos(π min(step / steps, 1))) goes from 0 to 1. The parameter
    starts at 1, which gives T = T_low + 0.731 (T_high − T_low), and is the same for all rows; the paper's variant that
    predicts one T per row is not implemented. The gradient reaches p through the factor T² as well, as in the authors'
    code.

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
            raise ArgumentError(f"curriculum: steps is {steps}, expected at least 1 optimizer step", path="steps")
        check_temperature("curriculum", lowest)
        if not lowest < highest < math.inf:
            raise ArgumentError(
                f"curriculum: highest is {highest}, expected a finite number above lowest, {lowest}", path="highest"
            )
        self.steps = steps
        self.lowest = lowest
        self.highest = highest
        self.level = nn.Parameter(torch.ones(()))
        # Not in the state: it follows from the step.
        self.register_buffer("reversal", torch.zeros(()), persistent=False)

    def forward(self) -> Tensor:
        level = at_least_float32(self.level)
        # The value is exactly that of the parameter, the gradient is multiplied by −λ.
        reversed_level = level.detach() - self.reversal * (level - level.detach())
        return self.lowest + (self.highest - self.lowest) * reversed_level.sigmoid()

    def follow_step(self, step: int) -> None:
        """Set λ for this optimizer step."""
        self.reversal.fill_(0.5 * (1.0 - math.cos(math.pi * min(step / self.steps, 1.0))))

    def extra_repr(self) -> str:
        return f"steps={self.steps}, lowest={self.lowest}, highest={self.highest}"
