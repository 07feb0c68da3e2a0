"""The squared difference of intermediate features (FitNets)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._features import check_features, mean_over_features, resize_to_teacher
from limbeck.losses._projection import ChannelProjection
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["HintMSE", "hint_mse"]


def hint_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of features, averaged over the feature axes.

    mean (student − teacher)², over D for vectors and sequences and over C, H and W for maps. The student's features are
    already projected to the teacher's channels. Maps of another height or width are resized to the teacher's by
    bilinear interpolation (pixel centres aligned, no antialiasing). The paper takes half of the sum; multiply its
    weights by half the number of elements.

    Args:
        student: vectors `[B, D]`, sequences `[B, T, D]` or maps `[B, C, H, W]`; float16 and bfloat16 inputs are
            computed in float32.
        teacher: features of the same kind; maps may differ from the student's in height and width.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> hint_mse(torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0]]))
        tensor([1., 3.])
        >>> hint_mse(torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 8, 8))
        tensor([1.])

    Romero, Ballas, Kahou, Chassang, Gatta and Bengio, 2015, "FitNets: Hints for Thin Deep Nets", arXiv:1412.6550.
    """
    check_features("hint_mse", student, teacher)
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    return mean_over_features(F.mse_loss(resize_to_teacher(student, teacher), teacher, reduction="none"))


@register("loss", "hint_mse")
class HintMSE(nn.Module):
    """Module for `limbeck.functional.hint_mse`, with a learned projection of the student's channels.

    The projection gets its size here if both numbers of channels are given, otherwise in `prepare`.

    Args:
        student_features: the student's channels.
        teacher_features: the teacher's channels.
        project: whether to project. Without a projection the student's features must have the teacher's channels, for
            example because the student has its own projector.

    Raises:
        ArgumentError: if a number of channels is not positive, or is given without a projection.

    Cost: O(B S C H W) operations and O(B C H W) memory in addition, for a student of S channels.

    Example:
        >>> import torch
        >>> loss = HintMSE(student_features=3, teacher_features=5)
        >>> loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4)).shape
        torch.Size([2])
    """

    def __init__(
        self, *, student_features: int | None = None, teacher_features: int | None = None, project: bool = True
    ) -> None:
        super().__init__()
        if not project and (student_features, teacher_features) != (None, None):
            raise ArgumentError(
                "hint_mse: project=False has no projection to size; leave the numbers of features out",
                code="conflict",
                path="project",
            )
        sizes = (student_features, teacher_features)
        self.projection = ChannelProjection(*sizes, operation="hint_mse") if project else None

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the projection from the first sample, and check the channels of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels differ from those given before.
        """
        for sample in samples:
            if self.projection is not None:
                self.projection.size(sample["student"], sample["teacher"])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return hint_mse(student if self.projection is None else self.projection(student), teacher)
