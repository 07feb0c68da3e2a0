"""A loss between logits that are each a question of yes or no."""

from __future__ import annotations

from torch import Tensor

from limbeck.functional._softening import binary_divergence, check_softening, softened

__all__ = ["binary_kd"]


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
