"""A loss between softened distributions, row by row, and between their correlations over the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import check_same_logits, check_temperature
from limbeck.functional._rows import row_mask
from limbeck.functional._softening import softened

__all__ = ["check_temperatures", "multi_level_logits"]


def check_temperatures(operation: str, temperatures: Sequence[float]) -> None:
    """Refuse no temperature, and one that is not a finite number above 0."""
    if len(temperatures) == 0:
        raise ArgumentError(f"{operation}: temperatures are empty, expected at least one finite number above 0")
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
    """Divergence of the rows, and squared differences of the rows' and the classes' correlations, at temperatures.

    Σ_T (T² / N Σ_i KL(p_i ‖ q_i) + 1 / N ‖P Pᵀ − Q Qᵀ‖² + 1 / C ‖Pᵀ P − Qᵀ Q‖²), where P and Q hold
    p_i = softmax(teacher_i / T) and q_i = softmax(student_i / T) of the N rows that the mask admits, and norms are sums
    of squares. The matrices relate rows and classes, so the whole is relational: one number for the batch, and none for
    fewer than two rows. As in the authors' code, T² multiplies the divergence alone. The second part grows with N, and
    the third with N², as in the paper. Its selection of rows and classes by the teacher's confidence, in the code
    alone, is left out.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 are computed in float32. All rows on the axes `*` are
            compared with each other; memory grows with the square of N or of C, whichever is less.
        teacher: finite logits `[*, C]`.
        mask: which rows count, bool `[*]` or its leading axes; all if None. Those left out must be finite, too.
        temperatures: each T, a number above 0.
        standardize: bring each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

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
    rows = row_mask("multi_level_logits", student, mask)
    student, teacher = (softened(logits, 1.0, standardize).flatten(0, -2) for logits in (student, teacher))
    rows = rows.to(student.dtype)
    count = rows.sum().clamp(min=1)
    value = student.new_zeros(())
    for temperature in temperatures:
        log_q = F.log_softmax(student / temperature, dim=-1)
        log_p = F.log_softmax(teacher / temperature, dim=-1)
        q, p = log_q.exp() * rows.unsqueeze(1), log_p.exp() * rows.unsqueeze(1)
        instance = (p * (log_p - log_q)).sum() * temperature**2
        batch, classes = _squared_difference(p, q), _squared_difference(p.T, q.T)
        value = value + ((instance + batch) / count + classes / p.shape[1])
    return value


def _squared_difference(p: Tensor, q: Tensor) -> Tensor:
    """‖P Pᵀ − Q Qᵀ‖², from matrices of the shorter side of P."""
    if len(p) <= p.shape[1]:
        return (p @ p.T - q @ q.T).square().sum()
    # With D = P − Q and S = P + Q the difference is (D Sᵀ + S Dᵀ) / 2, so its square needs no product of rows, and
    # nothing large cancels where P is near Q.
    less, more = p - q, p + q
    mixed = more.T @ less
    return ((less.T @ less) * (more.T @ more) + mixed * mixed.T).sum() / 2
