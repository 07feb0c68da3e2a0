"""A softened cross-entropy that weighs rows more where the student is worse than the teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.losses._checks import check_target
from limbeck.losses._cross_entropy import cross_entropy
from limbeck.losses._kl_divergence import soft_cross_entropy
from limbeck.losses._temperature import SoftenedLoss, Temperature, check_softened_inputs
from limbeck.registry import register

__all__ = ["WeightedSoftLabel", "weighted_soft_label"]


def weighted_soft_label(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float | Tensor = 2.0, standardize: bool = False
) -> Tensor:
    """Cross-entropy under the teacher's softened distribution, weighted by how much worse the student is.

    (1 − exp(−ℓ_s / ℓ_t)) · `soft_cross_entropy`(student, teacher), where ℓ_s and ℓ_t are the cross-entropies of student
    and teacher with the label at T = 1, without standardization. The weight is 1 − 1/e where both are equally good, and
    tends to 0 where the student is better; no gradient flows through it. Where ℓ_t is 0 the weight is 1, or 0 if ℓ_s is
    0 too.

    Args:
        student: finite logits `[*, C]`; float16 and bfloat16 inputs are computed in float32.
        teacher: finite logits `[*, C]`.
        target: class numbers `[*]`, int64 in 0..C−1. Leave out or mask rows without a label.
        temperature: T, a number above 0, or a floating tensor: 0-d, or `[*]` with one value per row.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Returns:
        One value per row, `[*]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit, the target is not int64, or the temperature is not a finite number
            above 0.
        IndexError: if a class number is out of range (on a CUDA device, the device's own assertion).

    Knowledge: outputs.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> logits, target = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])
        >>> weighted_soft_label(logits, torch.tensor([[2.0, 0.0], [2.0, 0.0]]), target)
        tensor([1.4721, 4.1773])

    Zhou, Song, Chen, Zhou, Wang, Yuan and Zhang, 2021, "Rethinking Soft Labels for Knowledge Distillation: A
    Bias-Variance Tradeoff Perspective", arXiv:2102.00650.
    """
    check_softened_inputs("weighted_soft_label", student, teacher, temperature)
    check_target("weighted_soft_label", student, target)
    with torch.no_grad():
        of_student, of_teacher = cross_entropy(student, target), cross_entropy(teacher, target)
        negative = torch.expm1(of_student / -of_teacher.clamp(min=torch.finfo(of_teacher.dtype).tiny))
    return -negative * soft_cross_entropy(student, teacher, temperature=temperature, standardize=standardize)


@register("loss", "weighted_soft_label")
class WeightedSoftLabel(SoftenedLoss):
    """Module for `limbeck.functional.weighted_soft_label`, with a temperature and optional logit standardization.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.
        standardize: whether to scale each row of logits to mean 0 and standard deviation 1 first (Sun et al., 2024).

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> WeightedSoftLabel()(logits, logits, torch.tensor([0]))
        tensor([1.4721])
    """

    def __init__(self, *, temperature: Temperature = 2.0, standardize: bool = False) -> None:
        super().__init__("weighted_soft_label", temperature, standardize)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: Tensor | None = None) -> Tensor:
        return weighted_soft_label(
            student, teacher, target, temperature=self.row_temperature(temperature), standardize=self.standardize
        )
