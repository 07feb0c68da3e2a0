"""Decoupled knowledge distillation: the target class and the other classes are weighted separately."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.losses._binary import bernoulli_kl
from limbeck.losses._checks import check_at_least_0, check_target, shape
from limbeck.losses._kl_divergence import kl_of_log_probs
from limbeck.losses._temperature import SoftenedLoss, Temperature, check_softened_inputs, scaled_logits
from limbeck.registry import register

__all__ = ["DecoupledKD", "decoupled_kd"]


def decoupled_kd(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float | Tensor = 4.0,
    standardize: bool = False,
) -> Tensor:
    """Divergence of target against non-target classes, and among the non-target classes, in nats, times T².

    T² (α KL(b(p) ‖ b(q)) + β KL(p̂ ‖ q̂)), with p = softmax(teacher / T), q = softmax(student / T), b(p) = (p_t, 1 −
    p_t) for the target t, and p̂ = p / (1 − p_t) over the other classes. With α = 1 and β = 1 − p_t it equals
    `kl_divergence`, which therefore gives the other classes little weight where the teacher is confident.

    Args:
        student: finite logits `[*, C]` of at least 2 classes; float16 and bfloat16 inputs are computed in float32.
        teacher: finite logits `[*, C]`.
        target: class numbers `[*]`, int64 in 0..C−1. Leave out or mask rows without a label.
        alpha: weight of the target class, at least 0.
        beta: weight of the other classes, at least 0.
        temperature: T, a number above 0, or a floating tensor: 0-d, or `[*]` with one value per row.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        One value per row, `[*]`, in at least float32; exactly 0 where both logits are equal.

    Raises:
        ArgumentError: if the shapes do not fit, there is one class, the target is not int64, a weight is below 0 or
            not finite, or the temperature is not a finite number above 0.
        RuntimeError: if a class number is out of range (on a CUDA device, the device's own assertion).

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 3), torch.tensor([[4.0, 4.0, 0.0]])
        >>> decoupled_kd(student, teacher, torch.tensor([0]))
        tensor([14.4755])

    Zhao, Cui, Song, Qiu and Liang, 2022, "Decoupled Knowledge Distillation", arXiv:2203.08679.
    """
    check_at_least_0("decoupled_kd", "alpha", alpha)
    check_at_least_0("decoupled_kd", "beta", beta)
    check_softened_inputs("decoupled_kd", student, teacher, temperature)
    check_target("decoupled_kd", student, target)
    if student.shape[-1] < 2:
        raise ArgumentError(
            f"decoupled_kd: student has shape {shape(student)}, expected at least 2 classes on the last axis; "
            f"for one logit take binary_kd",
            code="wrong_shape",
            path="student",
        )
    index = target.unsqueeze(-1)
    ahead_q, among_q = _apart(scaled_logits(student, temperature, standardize), index)
    ahead_p, among_p = _apart(scaled_logits(teacher, temperature, standardize), index)
    of_target, of_others = bernoulli_kl(ahead_p, ahead_q), kl_of_log_probs(among_p, among_q)
    return (alpha * of_target + beta * of_others) * temperature**2


def _apart(logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The logit of the target against all other classes, `[*]`, and the log-probabilities among the other classes."""
    # Not −∞ for the target: the difference of two infinities would be NaN.
    others = logits.scatter(-1, index, torch.finfo(logits.dtype).min / 4)
    ahead = logits.gather(-1, index) - others.logsumexp(dim=-1, keepdim=True)
    return ahead.squeeze(-1), F.log_softmax(others, dim=-1)


@register("loss", "decoupled_kd")
class DecoupledKD(SoftenedLoss):
    """Module for `limbeck.functional.decoupled_kd`, with two weights, a temperature and optional logit standardization.

    Args:
        alpha: weight of the target class, at least 0.
        beta: weight of the other classes, at least 0.
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if a weight is below 0 or not finite, or the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 3), torch.tensor([[4.0, 4.0, 0.0]])
        >>> DecoupledKD()(student, teacher, torch.tensor([0]))
        tensor([14.4755])
    """

    def __init__(
        self, *, alpha: float = 1.0, beta: float = 8.0, temperature: Temperature = 4.0, standardize: bool = False
    ) -> None:
        super().__init__("decoupled_kd", temperature, standardize)
        check_at_least_0("decoupled_kd", "alpha", alpha)
        self.alpha = alpha
        check_at_least_0("decoupled_kd", "beta", beta)
        self.beta = beta

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: Tensor | None = None) -> Tensor:
        return decoupled_kd(
            student,
            teacher,
            target,
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.row_temperature(temperature),
            standardize=self.standardize,
        )

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, beta={self.beta}, {super().extra_repr()}"
