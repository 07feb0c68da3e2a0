"""DIST: Pearson correlations between and within the classes of softened outputs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.losses._centred import centred_unit
from limbeck.losses._checks import check_at_least_0, check_same_logits, check_temperature
from limbeck.losses._rows import count_admitted, row_mask
from limbeck.losses._temperature import SoftenedLoss, Temperature, scaled_logits
from limbeck.registry import register

__all__ = ["DIST", "dist"]


def dist(
    student: Tensor,
    teacher: Tensor,
    mask: Tensor | None = None,
    *,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float | Tensor = 1.0,
    standardize: bool = False,
) -> Tensor:
    """One minus Pearson's correlation of the softened probabilities, by row and by class, times T².

    T² (β / N Σ_i d(p_i·, q_i·) + γ / C Σ_c d(p_·c, q_·c)), with d = 1 − Pearson's correlation, over the N rows that the
    mask admits and all C classes, p = softmax(teacher / T) and q = softmax(student / T). The second part compares rows,
    so the loss is relational: one number for the batch, and 0 for fewer than two rows. Constant probabilities have no
    correlation: d is 1 where one side is constant and 0 where both are. The paper has no factor T²; the authors' code
    has it.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 inputs are computed in float32. All rows on the axes `*`
            are compared with each other.
        teacher: finite logits `[*, C]`.
        mask: which rows count, bool `[*]` or its leading axes; all if None. Masked rows must be finite, too.
        beta: weight of the relation between classes, at least 0.
        gamma: weight of the relation between rows, at least 0.
        temperature: T, a number above 0, or a 0-d floating tensor.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        A 0-d tensor in at least float32, 0 to 2 T² (β + γ); exactly 0 where both logits are equal.

    Raises:
        ArgumentError: if the shapes do not fit, a weight is below 0 or not finite, or the temperature is not a finite
            number above 0.

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        >>> dist(teacher, teacher), dist(teacher.flip(0), teacher, gamma=0.0)
        (tensor(0.), tensor(1.5000))

    Huang, You, Wang, Qian and Xu, 2022, "Knowledge Distillation from A Stronger Teacher", arXiv:2205.10536.
    """
    check_at_least_0("dist", "beta", beta)
    check_at_least_0("dist", "gamma", gamma)
    check_temperature("dist", temperature)
    check_same_logits("dist", student, teacher)
    q = F.softmax(scaled_logits(student, temperature, standardize), dim=-1).flatten(0, -2)
    p = F.softmax(scaled_logits(teacher, temperature, standardize), dim=-1).flatten(0, -2)
    admitted, classes = None, p.shape[1]
    if mask is not None:
        admitted = row_mask("dist", student, mask).to(p.dtype).unsqueeze(1)
        p, q = p * admitted, q * admitted
    scale = temperature**2 / 2
    # Masked rows are equal on both sides, so their distance is 0.
    between_classes = _distances(centred_unit(p, 1, mean=1 / classes), centred_unit(q, 1, mean=1 / classes))
    between_rows = _distances(centred_unit(p, 0, admitted), centred_unit(q, 0, admitted))
    return between_classes * (beta * scale / count_admitted(admitted, p)) + between_rows * (gamma * scale / classes)


def _distances(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """Twice the sum of 1 − Pearson's correlation, as the squared difference of centred values of norm 1.

    This form is exactly 0 for equal values; 1 minus a quotient would have a rounding error.
    """
    (u, u_constant), (v, v_constant) = first, second
    return F.mse_loss(v, u, reduction="sum") + (u_constant ^ v_constant).sum()


@register("loss", "dist")
class DIST(SoftenedLoss):
    """Module for `limbeck.functional.dist`, with two weights, a temperature and optional logit standardization.

    Args:
        beta: weight of the relation between classes, at least 0.
        gamma: weight of the relation between rows, at least 0.
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if a weight is below 0 or not finite, or the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        >>> DIST(gamma=0.0)(teacher.flip(0), teacher)
        tensor(1.5000)
    """

    relational = True

    def __init__(
        self, *, beta: float = 1.0, gamma: float = 1.0, temperature: Temperature = 1.0, standardize: bool = False
    ) -> None:
        super().__init__("dist", temperature, standardize)
        check_at_least_0("dist", "beta", beta)
        self.beta = beta
        check_at_least_0("dist", "gamma", gamma)
        self.gamma = gamma

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
        return dist(
            student,
            teacher,
            mask,
            beta=self.beta,
            gamma=self.gamma,
            temperature=self.current_temperature,
            standardize=self.standardize,
        )

    def extra_repr(self) -> str:
        return f"beta={self.beta}, gamma={self.gamma}, {super().extra_repr()}"
