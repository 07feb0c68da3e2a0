"""The KL divergence and the cross-entropy of softened distributions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.losses._temperature import SoftenedLoss, Temperature, check_softened_inputs, scaled_logits
from limbeck.losses.sparse_logits import SparseLogits, sparse_log_probabilities
from limbeck.registry import register

__all__ = ["KLDivergence", "SoftCrossEntropy", "kl_divergence", "kl_of_log_probs", "soft_cross_entropy"]


def kl_of_log_probs(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) over the last axis of two tensors of log-probabilities."""
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


def kl_divergence(
    student: Tensor, teacher: Tensor | SparseLogits, *, temperature: float | Tensor = 1.0, standardize: bool = False
) -> Tensor:
    """Kullback-Leibler divergence from the student's softened distribution to the teacher's, in nats, times T².

    T² Σ_c p_c (log p_c − log q_c), with p = softmax(teacher / T) and q = softmax(student / T). It is KL(p ‖ q): the
    mean is taken under the teacher. The factor T² keeps the size of the gradient about the same at every T.

    With `SparseLogits`, the classes are those listed and the tail, whose q is the sum of q over all other classes. The
    result is at most the divergence over all classes, and equal to it if only one class is not listed. Without a tail,
    p is 0 for classes that are not listed.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 inputs are computed in float32.
        teacher: finite logits `[*, C]`, or `SparseLogits` at this temperature.
        temperature: T, a number above 0, or a floating tensor: 0-d, or `[*]` with one value per row.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        One value per row, `[*]`, in at least float32; exactly 0 where both logits are equal.

    Raises:
        ArgumentError: if the shapes differ, the temperature is not a finite number above 0, or sparse logits have
            another temperature or are to be standardized.

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[2.0, 0.0]])
        >>> kl_divergence(student, teacher, temperature=2.0)
        tensor([0.4438])
        >>> kl_divergence(teacher, teacher, temperature=2.0)
        tensor([0.])

    Hinton, Vinyals and Dean, 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.
    Sun, Ren, Li, Wang and Cao, 2024, "Logit Standardization in Knowledge Distillation", arXiv:2403.01427.
    """
    if isinstance(teacher, SparseLogits):
        log_q, log_p = sparse_log_probabilities("kl_divergence", student, teacher, temperature, standardize)
        return kl_of_log_probs(log_p, log_q) * temperature**2
    check_softened_inputs("kl_divergence", student, teacher, temperature)
    log_q = F.log_softmax(scaled_logits(student, temperature, standardize), dim=-1)
    log_p = F.log_softmax(scaled_logits(teacher, temperature, standardize), dim=-1)
    return kl_of_log_probs(log_p, log_q) * temperature**2


def soft_cross_entropy(
    student: Tensor, teacher: Tensor | SparseLogits, *, temperature: float | Tensor = 1.0, standardize: bool = False
) -> Tensor:
    """Cross-entropy of the student's softened distribution under the teacher's, in nats, times T².

    −T² Σ_c p_c log q_c, with p = softmax(teacher / T) and q = softmax(student / T). It exceeds `kl_divergence` by T²
    times the entropy of p, so both have the same gradient with respect to the student, but this one is not 0 when the
    logits are equal. With `SparseLogits`, the classes are those listed and the tail, as in `kl_divergence`.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 inputs are computed in float32.
        teacher: finite logits `[*, C]`, or `SparseLogits` at this temperature.
        temperature: T, a number above 0, or a floating tensor: 0-d, or `[*]` with one value per row.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        One value per row, `[*]`, in at least float32.

    Raises:
        ArgumentError: if the shapes differ, the temperature is not a finite number above 0, or sparse logits have
            another temperature or are to be standardized.

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> soft_cross_entropy(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]), temperature=2.0)
        tensor([2.7726])

    Hinton, Vinyals and Dean, 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.
    Sun, Ren, Li, Wang and Cao, 2024, "Logit Standardization in Knowledge Distillation", arXiv:2403.01427.
    """
    if isinstance(teacher, SparseLogits):
        log_q, log_p = sparse_log_probabilities("soft_cross_entropy", student, teacher, temperature, standardize)
        return (log_p.exp() * log_q).sum(dim=-1) * -(temperature**2)
    check_softened_inputs("soft_cross_entropy", student, teacher, temperature)
    log_q = F.log_softmax(scaled_logits(student, temperature, standardize), dim=-1)
    p = F.softmax(scaled_logits(teacher, temperature, standardize), dim=-1)
    return (p * log_q).sum(dim=-1) * -(temperature**2)


@register("loss", "kl_divergence")
class KLDivergence(SoftenedLoss):
    """Module for `limbeck.functional.kl_divergence`, with a temperature and optional logit standardization.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> KLDivergence(temperature=2.0)(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([0.4438])
    """

    sparse = ("teacher",)

    def __init__(self, *, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("kl_divergence", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor | SparseLogits, temperature: Tensor | None = None) -> Tensor:
        return kl_divergence(
            student, teacher, temperature=self.row_temperature(temperature), standardize=self.standardize
        )


@register("loss", "soft_cross_entropy")
class SoftCrossEntropy(SoftenedLoss):
    """Module for `limbeck.functional.soft_cross_entropy`, with a temperature and optional logit standardization.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> SoftCrossEntropy(temperature=2.0)(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([2.7726])
    """

    sparse = ("teacher",)

    def __init__(self, *, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("soft_cross_entropy", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor | SparseLogits, temperature: Tensor | None = None) -> Tensor:
        return soft_cross_entropy(
            student, teacher, temperature=self.row_temperature(temperature), standardize=self.standardize
        )
