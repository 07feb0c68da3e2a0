"""The divergence of softened distributions, taken apart into the target class and the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import check_at_least_0, check_target, shape
from limbeck.functional._softening import binary_divergence, check_softening, divergence, softened

__all__ = ["decoupled_kd"]


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
    """Divergence of target against all others, and of the others among themselves, in nats, times T².

    T² (α KL(b(p) ‖ b(q)) + β KL(p̂ ‖ q̂)), with p = softmax(teacher / T), q = softmax(student / T),
    b(p) = (p_t, 1 − p_t) for the target t, and p̂ = p / (1 − p_t) over the other classes. With α = 1 and β = 1 − p_t it
    is `kl_divergence`, which so hardly looks at the others where the teacher is sure.

    Args:
        student: finite logits `[*, C]` of at least 2 classes; float16 and bfloat16 are computed in float32.
        teacher: finite logits `[*, C]`.
        target: class numbers `[*]`, int64 in 0..C−1. Rows without a label are to be left out or masked before.
        alpha: weight of the target class, at least 0.
        beta: weight of the others, at least 0.
        temperature: T, a number above 0, or a tensor that holds one: without axes, or `[*]` for each row.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

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
    check_softening("decoupled_kd", student, teacher, temperature)
    check_target("decoupled_kd", student, target)
    if student.shape[-1] < 2:
        raise ArgumentError(
            f"decoupled_kd: student has shape {shape(student)}, expected at least 2 classes on the last axis; "
            f"for one logit take binary_kd"
        )
    index = target.unsqueeze(-1)
    ahead_q, among_q = _apart(softened(student, temperature, standardize), index)
    ahead_p, among_p = _apart(softened(teacher, temperature, standardize), index)
    of_target, of_others = binary_divergence(ahead_p, ahead_q), divergence(among_p, among_q)
    return (alpha * of_target + beta * of_others) * temperature**2


def _apart(logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The logit of the target against all others, `[*]`, and the logarithms of the others among themselves."""
    # Not −∞ for the target: the difference of two would be NaN.
    others = logits.scatter(-1, index, torch.finfo(logits.dtype).min / 4)
    ahead = logits.gather(-1, index) - others.logsumexp(dim=-1, keepdim=True)
    return ahead.squeeze(-1), F.log_softmax(others, dim=-1)
