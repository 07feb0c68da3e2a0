"""Multi-level logit distillation: softened distributions per row, and their correlations over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import check_same_logits, check_temperature
from limbeck.losses._rows import count_admitted, row_mask
from limbeck.losses._temperature import scaled_logits
from limbeck.registry import register

__all__ = ["MultiLevelLogits", "check_temperatures", "multi_level_logits"]


def check_temperatures(operation: str, temperatures: Sequence[float]) -> None:
    """Reject an empty list, and a temperature that is not a finite number above 0."""
    if len(temperatures) == 0:
        raise ArgumentError(
            f"{operation}: temperatures are empty, expected at least one finite number above 0",
            code="missing",
            path="temperatures",
        )
    for temperature in temperatures:
        check_temperature(operation, temperature)


def multi_level_logits(
    student: Tensor,
    teacher: Tensor,
    mask: Tensor | None = None,
    *,
    temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
    standardize: bool = False,
) -> Tensor:
    """Divergence of the rows, and squared differences of row and class correlations, summed over temperatures.

    Σ_T (T² / N Σ_i KL(p_i ‖ q_i) + 1 / N ‖P Pᵀ − Q Qᵀ‖² + 1 / C ‖Pᵀ P − Qᵀ Q‖²), where P and Q hold p_i =
    softmax(teacher_i / T) and q_i = softmax(student_i / T) of the N rows that the mask admits, and norms are sums of
    squares. The matrices relate rows to each other, so the loss is relational: one number for the batch, and 0 for
    fewer than two rows. As in the authors' code, T² multiplies the divergence only. As in the paper, the second part
    grows with N, and the third with N². The code also selects rows and classes by the teacher's confidence; this is not
    implemented.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 inputs are computed in float32. All rows on the axes `*`
            are compared with each other; memory grows with the square of N or of C, whichever is less.
        teacher: finite logits `[*, C]`.
        mask: which rows count, bool `[*]` or its leading axes; all if None. Masked rows must be finite, too.
        temperatures: each T, a number above 0.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        A 0-d tensor in at least float32; exactly 0 where both logits are equal.

    Raises:
        ArgumentError: if the shapes do not fit, or there is no temperature or one that is not a finite number above 0.

    Knowledge: outputs.
    Cost: O(B C min(B, C)) operations, O(B C + min(B, C)²) memory, for each temperature.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> multi_level_logits(teacher, teacher), multi_level_logits(teacher.flip(0), teacher, temperatures=[2.0])
        (tensor(0.), tensor(1.8485))

    Jin, Wang and Lin, 2023, "Multi-Level Logit Distillation", CVPR, doi:10.1109/CVPR52729.2023.02325.
    """
    check_temperatures("multi_level_logits", temperatures)
    check_same_logits("multi_level_logits", student, teacher)
    admitted = None if mask is None else row_mask("multi_level_logits", student, mask).unsqueeze(1)
    student, teacher = (scaled_logits(logits, 1.0, standardize).flatten(0, -2) for logits in (student, teacher))
    count = count_admitted(admitted, teacher)
    value = student.new_zeros(())
    for temperature in temperatures:
        log_q = F.log_softmax(student / temperature, dim=-1)
        log_p = F.log_softmax(teacher / temperature, dim=-1)
        q, p = log_q.exp(), log_p.exp()
        if admitted is not None:
            q, p = q.masked_fill(~admitted, 0), p.masked_fill(~admitted, 0)
        instance = (p * (log_p - log_q)).sum() * temperature**2
        between_rows, between_classes = _gram_distances(p, q)
        value = value + ((instance + between_rows) / count + between_classes / p.shape[1])
    return value


def _gram_distances(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """‖P Pᵀ − Q Qᵀ‖² and ‖Pᵀ P − Qᵀ Q‖²."""
    if len(p) < p.shape[1]:
        of_columns, of_rows = _GramDistances.apply(p.T, q.T)
    else:
        of_rows, of_columns = _GramDistances.apply(p, q)
    return of_rows, of_columns


class _GramDistances(torch.autograd.Function):
    # Computed from matrices of the second axis, which must be the shorter: with D = P − Q, S = P + Q and M = Sᵀ D, they
    # are (⟨Sᵀ S, Dᵀ D⟩ + ⟨M, Mᵀ⟩) / 2 and ‖M + Mᵀ‖² / 4, which has no cancellation if P is near Q. Backward recomputes
    # the matrices, because they would be most of the memory.
    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(p, q)
        less, more = p - q, p + q
        mixed = more.T @ less
        longer = ((more.T @ more) * (less.T @ less) + mixed * mixed.T).sum() / 2
        return longer, (mixed + mixed.T).square().sum() / 4

    @staticmethod
    def backward(ctx: Any, of_longer: Tensor, of_shorter: Tensor) -> tuple[Tensor | None, Tensor | None]:
        p, q = ctx.saved_tensors
        by_p, by_q = ctx.needs_input_grad
        return (
            _by_second(q, p, of_longer, of_shorter) if by_p else None,
            _by_second(p, q, of_longer, of_shorter) if by_q else None,
        )


def _by_second(p: Tensor, q: Tensor, of_longer: Tensor, of_shorter: Tensor) -> Tensor:
    less, more = p - q, p + q
    mixed = more.T @ less
    apart = of_shorter * (mixed + mixed.T)
    by_more = of_longer * (less.T @ less - mixed.T) - apart
    by_less = of_longer * (mixed - more.T @ more) + apart
    return more @ by_more + less @ by_less


@register("loss", "multi_level_logits")
class MultiLevelLogits(nn.Module):
    """Module for `limbeck.functional.multi_level_logits`, with temperatures and optional logit standardization.

    Args:
        temperatures: each T, a number above 0.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if there is no temperature, or a temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> MultiLevelLogits(temperatures=[2.0])(teacher.flip(0), teacher)
        tensor(1.8485)
    """

    relational = True
    exclusive = True

    def __init__(self, *, temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0), standardize: bool = False) -> None:
        super().__init__()
        check_temperatures("multi_level_logits", temperatures)
        self.temperatures = tuple(temperatures)
        self.standardize = standardize

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        return multi_level_logits(student, teacher, mask, temperatures=self.temperatures, standardize=self.standardize)

    def extra_repr(self) -> str:
        return f"temperatures={self.temperatures}, standardize={self.standardize}"
