"""Other divergences than Kullback and Leibler's between distributions softened by a temperature."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._softening import check_softening, divergence, softened
from limbeck.functional._sparse import SparseLogits, check_complete, sparse_log_probabilities

__all__ = ["check_beta", "generalized_jsd", "reverse_kl", "total_variation"]


def check_beta(operation: str, beta: float) -> None:
    """Refuse a β outside [0, 1]."""
    if not 0.0 <= beta <= 1.0:
        raise ArgumentError(
            f"{operation}: beta is {beta}, expected 0 to 1; 0 is KL(teacher ‖ student) and 1 KL(student ‖ teacher)"
        )


def reverse_kl(
    student: Tensor, teacher: Tensor | SparseLogits, *, temperature: float | Tensor = 1.0, standardize: bool = False
) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened distribution to the student's, in nats, times T².

    T² Σ_c q_c (log q_c − log p_c), with p = softmax(teacher / T) and q = softmax(student / T). It is KL(q ‖ p): the
    mean is taken under the student, so a student that is too small for all of p covers its largest part, where
    `kl_divergence` spreads over all of it.

    Of `SparseLogits`, the classes are those listed and the tail, as in `kl_divergence`. Where classes are left out and
    there is no tail, p is 0 on them, and this divergence is infinite: such logits are refused.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 are computed in float32.
        teacher: finite logits `[*, C]`, or `SparseLogits` at this temperature, with a tail.
        temperature: T, a number above 0, or a tensor that holds one: without axes, or `[*]` for each row.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        One value per row, `[*]`, in at least float32; exactly 0 where both logits are equal.

    Raises:
        ArgumentError: if the shapes differ, the temperature is not a finite number above 0, or sparse logits have
            another one, have no tail or are to be standardized.

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[2.0, 0.0]])
        >>> reverse_kl(student, teacher, temperature=2.0)
        tensor([0.4805])

    Gu, Dong, Wei and Huang, 2024, "MiniLLM: Knowledge Distillation of Large Language Models", arXiv:2306.08543.
    Agarwal, Vieillard, Zhou, Stanczyk, Ramos, Geist and Bachem, 2024, "On-Policy Distillation of Language Models:
    Learning from Self-Generated Mistakes", arXiv:2306.13649.
    """
    if isinstance(teacher, SparseLogits):
        check_complete("reverse_kl", teacher)
        log_q, log_p = sparse_log_probabilities("reverse_kl", student, teacher, temperature, standardize)
        return divergence(log_q, log_p) * temperature**2
    check_softening("reverse_kl", student, teacher, temperature)
    log_q = F.log_softmax(softened(student, temperature, standardize), dim=-1)
    log_p = F.log_softmax(softened(teacher, temperature, standardize), dim=-1)
    return divergence(log_q, log_p) * temperature**2


def generalized_jsd(
    student: Tensor, teacher: Tensor, *, beta: float = 0.5, temperature: float | Tensor = 1.0, standardize: bool = False
) -> Tensor:
    """Generalized Jensen-Shannon divergence of the softened distributions, in nats, times T².

    T² (β KL(p ‖ m) + (1 − β) KL(q ‖ m)), with m = β p + (1 − β) q, p = softmax(teacher / T) and
    q = softmax(student / T). At ½ it is the Jensen-Shannon divergence. It falls to 0 with β, but divided by β it tends
    to KL(p ‖ q), and for β → 1, divided by 1 − β, to KL(q ‖ p). At β = 0 and β = 1 these two limits are the value:
    `kl_divergence` and `reverse_kl`. So the value jumps at the ends, and a weight found at 0 is to be divided by β
    near it. The paper names the limits; taking them at the ends is what its published implementations do.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 are computed in float32.
        teacher: finite logits `[*, C]`.
        beta: β, from 0 to 1: the teacher's share of the mixture.
        temperature: T, a number above 0, or a tensor that holds one: without axes, or `[*]` for each row.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        One value per row, `[*]`, in at least float32; exactly 0 where both logits are equal.

    Raises:
        ArgumentError: if the shapes differ, β is outside 0 to 1, or the temperature is not a finite number above 0.

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[2.0, 0.0]])
        >>> generalized_jsd(student, teacher)
        tensor([0.0895])
        >>> generalized_jsd(student, teacher, beta=0.0, temperature=2.0)
        tensor([0.4438])

    Agarwal, Vieillard, Zhou, Stanczyk, Ramos, Geist and Bachem, 2024, "On-Policy Distillation of Language Models:
    Learning from Self-Generated Mistakes", arXiv:2306.13649.
    """
    check_beta("generalized_jsd", beta)
    check_softening("generalized_jsd", student, teacher, temperature)
    log_q = F.log_softmax(softened(student, temperature, standardize), dim=-1)
    log_p = F.log_softmax(softened(teacher, temperature, standardize), dim=-1)
    if beta in (0.0, 1.0):
        value = divergence(log_p, log_q) if beta == 0.0 else divergence(log_q, log_p)
    else:
        value = _ToMixture.apply(log_p, log_q, beta)
    return value * temperature**2


class _ToMixture(torch.autograd.Function):
    # The derivative by log p is the part from p, and by log q the part from q: one product, where the operations of
    # forward would each have their own step in backward.
    @staticmethod
    def forward(ctx: Any, log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
        from_p, from_q = _parts(log_p, log_q, beta)
        ctx.save_for_backward(log_p, log_q, from_p, from_q)
        ctx.beta = beta
        return (from_p + from_q).sum(dim=-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        log_p, log_q, from_p, from_q = ctx.saved_tensors
        if torch.is_grad_enabled():
            # For a second derivative, which needs the operations.
            from_p, from_q = _parts(log_p, log_q, ctx.beta)
        gradient = gradient.unsqueeze(-1)
        by_p, by_q, _ = ctx.needs_input_grad
        return gradient * from_p if by_p else None, gradient * from_q if by_q else None, None


def _parts(log_p: Tensor, log_q: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """β p log (p / m) and (1 − β) q log (q / m)."""
    # log m = max(log p, log q) + rest: finite where a probability underflows, and exactly log p where p is q.
    more = log_q - log_p
    below = more.clamp(max=0)
    share_of_less = 0.5 if beta == 0.5 else (more > 0).to(more.dtype) * (2 * beta - 1) + (1 - beta)
    # 2 below − more is −|more|, with a gradient at 0 that fits the share.
    rest = torch.log1p(share_of_less * torch.expm1(2 * below - more))
    return -beta * log_p.exp() * (more - below + rest), (beta - 1) * log_q.exp() * (rest - below)


def total_variation(
    student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 1.0, standardize: bool = False
) -> Tensor:
    """Total variation distance of the softened distributions, times T².

    T² ½ Σ_c |p_c − q_c|, with p = softmax(teacher / T) and q = softmax(student / T). Without the factor it is at most
    1. The factor is that of all softened losses; this distance falls only with 1 / T, not with 1 / T² as divergences
    do, so with the factor its gradient grows like T. The paper has no temperature.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 are computed in float32.
        teacher: finite logits `[*, C]`.
        temperature: T, a number above 0, or a tensor that holds one: without axes, or `[*]` for each row.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        One value per row, `[*]`, in at least float32; exactly 0, with gradient 0, where both logits are equal.

    Raises:
        ArgumentError: if the shapes differ, or the temperature is not a finite number above 0.

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> total_variation(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([0.3808])

    Wen, Li, Du and Mou, 2023, "f-Divergence Minimization for Sequence-Level Knowledge Distillation", arXiv:2307.15190.
    """
    check_softening("total_variation", student, teacher, temperature)
    q = F.softmax(softened(student, temperature, standardize), dim=-1)
    p = F.softmax(softened(teacher, temperature, standardize), dim=-1)
    return (p - q).abs().sum(dim=-1) * (temperature**2 / 2)
