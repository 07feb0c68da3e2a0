"""Losses of logits that are each a question of yes or no."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._precision import at_least_float32
from limbeck.functional._softening import binary_divergence, check_softening, softened

__all__ = ["binary_cross_entropy", "binary_kd"]


def binary_cross_entropy(student: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits that are each a question of yes or no, summed over the labels, in nats.

    −Σ_c (y_c log q_c + (1 − y_c) log (1 − q_c)), with q = sigmoid(student). A sum, as in `binary_kd`: the two have one
    scale. PyTorch's `BCEWithLogitsLoss` and the models of Hugging Face divide by the number of labels too.

    Args:
        student: logits `[*, C]` of C independent labels; float16 and bfloat16 are computed in float32.
        target: y, `[*, C]`: 1 where a label holds and 0 where it does not, or anything between; of any type. Rows
            without labels are to be left out or masked before.

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
            "expected floating logits and a 0 or 1 for each of them, [*, C] both; for class numbers use cross_entropy"
        )
    logits = at_least_float32(student)
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none").sum(dim=-1)


def binary_kd(student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 1.0) -> Tensor:
    """Kullback-Leibler divergence of independent yes-or-no distributions, summed over the labels, in nats, times T².

    T² Σ_c (p_c log (p_c / q_c) + (1 − p_c) log ((1 − p_c) / (1 − q_c))), with p = sigmoid(teacher / T) and
    q = sigmoid(student / T). One logit z is the same as `kl_divergence` of the two logits (z, 0). Logit
    standardization is not offered: a sigmoid, unlike a softmax, changes when all logits move together.

    Args:
        student: finite logits `[*, C]` of C independent labels, `[*, 1]` for a binary output; float16 and bfloat16
            are computed in float32.
        teacher: finite logits `[*, C]`.
        temperature: T, a number above 0, or a tensor that holds one: without axes, or `[*]` for each row.

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
    check_softening("binary_kd", student, teacher, temperature)
    student, teacher = softened(student, temperature, False), softened(teacher, temperature, False)
    return binary_divergence(teacher, student).sum(dim=-1) * temperature**2
