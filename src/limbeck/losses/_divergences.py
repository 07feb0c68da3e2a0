"""Divergences between softened distributions other than the forward KL divergence."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.losses._kl_divergence import kl_of_log_probs
from limbeck.losses._temperature import SoftenedLoss, Temperature, check_softened_inputs, scaled_logits
from limbeck.losses.sparse_logits import SparseLogits, check_complete, sparse_log_probabilities
from limbeck.registry import register

__all__ = [
    "GeneralizedJSD",
    "ReverseKL",
    "TotalVariation",
    "check_beta",
    "generalized_jsd",
    "reverse_kl",
    "total_variation",
]


def check_beta(operation: str, beta: float) -> None:
    """Reject a β outside [0, 1]."""
    if not 0.0 <= beta <= 1.0:
        raise ArgumentError(
            f"{operation}: beta is {beta}, expected 0 to 1; 0 is KL(teacher ‖ student) and 1 KL(student ‖ teacher)",
            path="beta",
        )


def reverse_kl(
    student: Tensor, teacher: Tensor | SparseLogits, *, temperature: float | Tensor = 1.0, standardize: bool = False
) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened distribution to the student's, in nats, times T².

    T² Σ_c q_c (log q_c − log p_c), with p = softmax(teacher / T) and q = softmax(student / T). It is KL(q ‖ p): the
    mean is taken under the student. A student that is too small to fit all of p covers its largest mode, where with
    `kl_divergence` it spreads over all modes.

    With `SparseLogits`, the classes are those listed and the tail, as in `kl_divergence`. Without a tail, p is 0 for
    classes that are not listed and the divergence is infinite: such logits are rejected.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 inputs are computed in float32.
        teacher: finite logits `[*, C]`, or `SparseLogits` at this temperature, with a tail.
        temperature: T, a number above 0, or a floating tensor: 0-d, or `[*]` with one value per row.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        One value per row, `[*]`, in at least float32; exactly 0 where both logits are equal.

    Raises:
        ArgumentError: if the shapes differ, the temperature is not a finite number above 0, or sparse logits have
            another temperature, have no tail or are to be standardized.

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
        return kl_of_log_probs(log_q, log_p) * temperature**2
    check_softened_inputs("reverse_kl", student, teacher, temperature)
    log_q = F.log_softmax(scaled_logits(student, temperature, standardize), dim=-1)
    log_p = F.log_softmax(scaled_logits(teacher, temperature, standardize), dim=-1)
    return kl_of_log_probs(log_q, log_p) * temperature**2


def generalized_jsd(
    student: Tensor, teacher: Tensor, *, beta: float = 0.5, temperature: float | Tensor = 1.0, standardize: bool = False
) -> Tensor:
    """Generalized Jensen-Shannon divergence of the softened distributions, in nats, times T².

    T² (β KL(p ‖ m) + (1 − β) KL(q ‖ m)), with m = β p + (1 − β) q, p = softmax(teacher / T) and q = softmax(student /
    T). At β = ½ it is the Jensen-Shannon divergence. As β → 0, the value falls to 0, and the value divided by β tends
    to KL(p ‖ q). As β → 1, the value divided by 1 − β tends to KL(q ‖ p). At β = 0 and β = 1 the value is defined as
    these limits, `kl_divergence` and `reverse_kl`, as in published implementations of the paper. It therefore jumps at
    both ends: to use a weight that was found at β = 0 with a small β, divide it by β.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 inputs are computed in float32.
        teacher: finite logits `[*, C]`.
        beta: β, from 0 to 1: the teacher's weight in the mixture.
        temperature: T, a number above 0, or a floating tensor: 0-d, or `[*]` with one value per row.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

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
    check_softened_inputs("generalized_jsd", student, teacher, temperature)
    log_q = F.log_softmax(scaled_logits(student, temperature, standardize), dim=-1)
    log_p = F.log_softmax(scaled_logits(teacher, temperature, standardize), dim=-1)
    if beta in (0.0, 1.0):
        value = kl_of_log_probs(log_p, log_q) if beta == 0.0 else kl_of_log_probs(log_q, log_p)
    else:
        value = _ToMixture.apply(log_p, log_q, beta)
    return value * temperature**2


class _ToMixture(torch.autograd.Function):
    # The derivative with respect to log p is the part from p, and with respect to log q the part from q: backward takes
    # one product each, instead of a step for every operation of forward.
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
            # A second derivative needs the single operations.
            from_p, from_q = _parts(log_p, log_q, ctx.beta)
        gradient = gradient.unsqueeze(-1)
        by_p, by_q, _ = ctx.needs_input_grad
        return gradient * from_p if by_p else None, gradient * from_q if by_q else None, None


def _parts(log_p: Tensor, log_q: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """β p log (p / m) and (1 − β) q log (q / m)."""
    # log m = max(log p, log q) + rest: finite where a probability underflows, and exactly log p where p equals q.
    more = log_q - log_p
    below = more.clamp(max=0)
    share_of_less = 0.5 if beta == 0.5 else (more > 0).to(more.dtype) * (2 * beta - 1) + (1 - beta)
    # 2 below − more is −|more|, with the correct gradient at 0.
    rest = torch.log1p(share_of_less * torch.expm1(2 * below - more))
    return -beta * log_p.exp() * (more - below + rest), (beta - 1) * log_q.exp() * (rest - below)


def total_variation(
    student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 1.0, standardize: bool = False
) -> Tensor:
    """Total variation distance of the softened distributions, times T².

    T² ½ Σ_c |p_c − q_c|, with p = softmax(teacher / T) and q = softmax(student / T). Without the factor T² it is at
    most 1. All softened losses have this factor; but this distance falls with 1 / T, not with 1 / T² as divergences do,
    so its gradient grows with T. The paper has no temperature.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 inputs are computed in float32.
        teacher: finite logits `[*, C]`.
        temperature: T, a number above 0, or a floating tensor: 0-d, or `[*]` with one value per row.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

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
    check_softened_inputs("total_variation", student, teacher, temperature)
    q = F.softmax(scaled_logits(student, temperature, standardize), dim=-1)
    p = F.softmax(scaled_logits(teacher, temperature, standardize), dim=-1)
    return (p - q).abs().sum(dim=-1) * (temperature**2 / 2)


@register("loss", "reverse_kl")
class ReverseKL(SoftenedLoss):
    """Module for `limbeck.functional.reverse_kl`, with a temperature and optional logit standardization.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> ReverseKL(temperature=2.0)(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([0.4805])
    """

    sparse = ("teacher",)

    def __init__(self, *, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("reverse_kl", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor | SparseLogits, temperature: Tensor | None = None) -> Tensor:
        return reverse_kl(student, teacher, temperature=self.row_temperature(temperature), standardize=self.standardize)


@register("loss", "generalized_jsd")
class GeneralizedJSD(SoftenedLoss):
    """Module for `limbeck.functional.generalized_jsd`, with β, a temperature and optional logit standardization.

    Args:
        beta: β, from 0 to 1; 0 gives KL(teacher ‖ student) and 1 gives KL(student ‖ teacher).
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if β is outside 0 to 1, or the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> GeneralizedJSD()(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([0.0895])
    """

    def __init__(self, *, beta: float = 0.5, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("generalized_jsd", temperature, standardize)
        check_beta("generalized_jsd", beta)
        self.beta = beta

    def forward(self, student: Tensor, teacher: Tensor, temperature: Tensor | None = None) -> Tensor:
        return generalized_jsd(
            student,
            teacher,
            beta=self.beta,
            temperature=self.row_temperature(temperature),
            standardize=self.standardize,
        )

    def extra_repr(self) -> str:
        return f"beta={self.beta}, {super().extra_repr()}"


@register("loss", "total_variation")
class TotalVariation(SoftenedLoss):
    """Module for `limbeck.functional.total_variation`, with a temperature and optional logit standardization.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> TotalVariation()(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))
        tensor([0.3808])
    """

    def __init__(self, *, temperature: Temperature = 1.0, standardize: bool = False) -> None:
        super().__init__("total_variation", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor, temperature: Tensor | None = None) -> Tensor:
        return total_variation(
            student, teacher, temperature=self.row_temperature(temperature), standardize=self.standardize
        )
