"""Losses that treat every class as a separate yes-or-no decision."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses._temperature import Temperature, TemperatureLoss, check_softened_inputs, scaled_logits
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["BinaryCrossEntropy", "BinaryKD", "bernoulli_kl", "binary_cross_entropy", "binary_kd"]


def bernoulli_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(b(p) ‖ b(q)) of two tensors of logits, elementwise; exactly 0 where both are equal."""
    p = teacher.sigmoid()
    cross, own = (F.binary_cross_entropy_with_logits(logits, p, reduction="none") for logits in (student, teacher))
    return cross - own


def binary_cross_entropy(student: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits of independent binary labels, summed over the labels, in nats.

    −Σ_c (y_c log q_c + (1 − y_c) log (1 − q_c)), with q = sigmoid(student). The labels are summed, as in `binary_kd`,
    so that both losses have the same scale. PyTorch's `BCEWithLogitsLoss` and Hugging Face models divide by the number
    of labels as well.

    Args:
        student: logits `[*, C]` of C independent labels; float16 and bfloat16 inputs are computed in float32.
        target: y, `[*, C]`: 1 where a label holds, 0 where it does not, or a value between; of any dtype. Leave out or
            mask rows without labels.

    Returns:
        One value per row, `[*]`, in at least float32.

    Raises:
        ArgumentError: if the shapes differ, or the logits are not floating.

    Knowledge: labels.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> binary_cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([[1, 0]]))
        tensor([0.8201])

    Cox, 1958, "The Regression Analysis of Binary Sequences", Journal of the Royal Statistical Society B 20(2), 215-242,
    doi:10.1111/j.2517-6161.1958.tb00292.x (the logistic likelihood).
    """
    if student.shape != target.shape or student.ndim == 0 or not student.is_floating_point():
        raise ArgumentError(
            f"binary_cross_entropy: student is {student.dtype} of shape {shape(student)} and target {shape(target)}, "
            "expected floating logits and a 0 or 1 for each of them, [*, C] both; for class numbers use cross_entropy",
            code="wrong_shape",
            path="student",
        )
    logits = at_least_float32(student)
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none").sum(dim=-1)


def binary_kd(student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 1.0) -> Tensor:
    """Kullback-Leibler divergence of independent Bernoulli distributions, summed over the labels, in nats, times T².

    T² Σ_c (p_c log (p_c / q_c) + (1 − p_c) log ((1 − p_c) / (1 − q_c))), with p = sigmoid(teacher / T) and q =
    sigmoid(student / T). For one logit z it equals `kl_divergence` of the two logits (z, 0). There is no logit
    standardization, because a sigmoid, unlike a softmax, changes when a constant is added to all logits.

    Args:
        student: finite logits `[*, C]` of C independent labels, `[*, 1]` for a binary output; float16 and bfloat16
            inputs are computed in float32.
        teacher: finite logits `[*, C]`.
        temperature: T, a number above 0, or a floating tensor: 0-d, or `[*]` with one value per row.

    Returns:
        One value per row, `[*]`, in at least float32; exactly 0 where both logits are equal.

    Raises:
        ArgumentError: if the shapes differ, or the temperature is not a finite number above 0.

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> binary_kd(torch.zeros(1, 1), torch.tensor([[2.0]]), temperature=2.0)
        tensor([0.4438])

    Hinton, Vinyals and Dean, 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531 (temperature).
    Yang, Xie, Zong, Feng, Niu, Sugiyama and Huang, 2023, "Multi-Label Knowledge Distillation", arXiv:2308.06453.
    """
    check_softened_inputs("binary_kd", student, teacher, temperature)
    student, teacher = scaled_logits(student, temperature, False), scaled_logits(teacher, temperature, False)
    return bernoulli_kl(teacher, student).sum(dim=-1) * temperature**2


@register("loss", "binary_cross_entropy")
class BinaryCrossEntropy(nn.Module):
    """Module for `limbeck.functional.binary_cross_entropy`, without settings.

    Example:
        >>> import torch
        >>> BinaryCrossEntropy()(torch.tensor([[2.0, 0.0]]), torch.tensor([[1, 0]]))
        tensor([0.8201])
    """

    exclusive: ClassVar = False

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy(student, target)


@register("loss", "binary_kd")
class BinaryKD(TemperatureLoss):
    """Module for `limbeck.functional.binary_kd`, with a temperature.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> BinaryKD(temperature=2.0)(torch.zeros(1, 1), torch.tensor([[2.0]]))
        tensor([0.4438])
    """

    def __init__(self, *, temperature: Temperature = 1.0) -> None:
        super().__init__("binary_kd", temperature)

    def forward(self, student: Tensor, teacher: Tensor, temperature: Tensor | None = None) -> Tensor:
        return binary_kd(student, teacher, temperature=self.row_temperature(temperature))
