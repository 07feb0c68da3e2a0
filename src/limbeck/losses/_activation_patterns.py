"""Losses between the patterns of which neurons are active."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._features import check_features, mean_over_features, propagate_nan, resize_to_teacher
from limbeck.losses._projection import ChannelProjection
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["ActivationBoundary", "SparsityPattern", "activation_boundary", "check_margin", "sparsity_pattern"]


def check_margin(operation: str, margin: float) -> None:
    """Reject a margin that is not a finite number above 0."""
    if not 0.0 < margin < math.inf:
        raise ArgumentError(
            f"{operation}: margin is {margin}, expected a finite number above 0; the paper's is 1.0", path="margin"
        )


def activation_boundary(student: Tensor, teacher: Tensor, *, margin: float = 1.0) -> Tensor:
    """Squared hinge between the student's responses and the teacher's on/off pattern, averaged over the features.

    mean (ρ · max(μ − student, 0) + (1 − ρ) · max(μ + student, 0))², with ρ = 1 where teacher > 0, else 0. It is 0 where
    the student's responses have the teacher's sign and are at least the margin μ away from 0. The paper sums over the
    features; multiply its weights by their number.

    Args:
        student: responses before the ReLU, projected to the teacher's channels: `[B, D]`, `[B, T, D]` or
            `[B, C, H, W]`; float16 and bfloat16 inputs are computed in float32. Maps of another height or width are
            resized to the teacher's by bilinear interpolation.
        teacher: responses of the same kind, before or after the ReLU.
        margin: μ, above 0.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit, or the margin is not a finite number above 0.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> activation_boundary(torch.tensor([[0.5, 2.0, 1.0]]), torch.tensor([[3.0, 0.1, -1.0]]))
        tensor([1.4167])

    Heo, Lee, Yun and Choi, 2019, "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden
    Neurons", arXiv:1811.03233.
    """
    check_margin("activation_boundary", margin)
    check_features("activation_boundary", student, teacher)
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    student = resize_to_teacher(student, teacher)
    squares = F.relu(margin - student.where(teacher > 0, -student)).square()
    return propagate_nan(mean_over_features(squares), teacher)


def sparsity_pattern(student: Tensor, teacher: Tensor) -> Tensor:
    """Logistic loss of the student's responses on the teacher's on/off pattern, in nats, averaged over the features.

    mean log(1 + exp(−y · student)), with y = 1 where teacher > 0, else −1: the cross-entropy of the probability
    sigmoid(student) that a neuron is on. The paper starts from the share of neurons whose state differs,
    mean |ρ(teacher) − ρ(student)|, which has no gradient, and replaces it by the hinge of `activation_boundary`. Here a
    smooth bound replaces it: at least log 2 times that share, without a margin, and never exactly 0.

    Args:
        student: responses before the ReLU, projected to the teacher's channels: `[B, D]`, `[B, T, D]` or
            `[B, C, H, W]`; float16 and bfloat16 inputs are computed in float32. Maps of another height or width are
            resized to the teacher's by bilinear interpolation.
        teacher: responses of the same kind, before or after the ReLU.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> sparsity_pattern(torch.tensor([[0.0, 9.0], [0.0, -9.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
        tensor([0.3466, 4.8466])

    Heo, Lee, Yun and Choi, 2019, "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden
    Neurons", arXiv:1811.03233 (the pattern and its 0-1 loss).
    """
    check_features("sparsity_pattern", student, teacher)
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    student = resize_to_teacher(student, teacher)
    on = (teacher > 0).to(student.dtype)
    terms = F.binary_cross_entropy_with_logits(student, on, reduction="none")
    return propagate_nan(mean_over_features(terms), teacher)


@register("loss", "activation_boundary")
class ActivationBoundary(nn.Module):
    """Module for `limbeck.functional.activation_boundary`, with a margin and a projection of the student's channels.

    The paper's connector is a 1×1 convolution with batch normalization; here it has none, so that the value of a row
    does not depend on the other rows. The projection takes its size as in `HintMSE`.

    Args:
        margin: μ, a number above 0.
        student_features: the student's channels.
        teacher_features: the teacher's channels.

    Raises:
        ArgumentError: if a setting is out of range.

    Cost: O(B S C H W) operations and O(B C H W) memory in addition, for a student of S channels.

    Example:
        >>> import torch
        >>> loss = ActivationBoundary(student_features=3, teacher_features=5)
        >>> loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4)).shape
        torch.Size([2])
    """

    def __init__(
        self, *, margin: float = 1.0, student_features: int | None = None, teacher_features: int | None = None
    ) -> None:
        super().__init__()
        check_margin("activation_boundary", margin)
        self.margin = margin
        self.projection = ChannelProjection(student_features, teacher_features, operation="activation_boundary")

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the projection from the first sample, and check the channels of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels differ from those given before.
        """
        for sample in samples:
            self.projection.size(sample["student"], sample["teacher"])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return activation_boundary(self.projection(student), teacher, margin=self.margin)

    def extra_repr(self) -> str:
        return f"margin={self.margin}"


@register("loss", "sparsity_pattern")
class SparsityPattern(nn.Module):
    """Module for `limbeck.functional.sparsity_pattern`, with a learned projection of the student's channels.

    The projection takes its size as in `HintMSE`.

    Args:
        student_features: the student's channels.
        teacher_features: the teacher's channels.

    Raises:
        ArgumentError: if a number of channels is not positive.

    Cost: O(B S C H W) operations and O(B C H W) memory in addition, for a student of S channels.

    Example:
        >>> import torch
        >>> loss = SparsityPattern(student_features=3, teacher_features=5)
        >>> loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4)).shape
        torch.Size([2])
    """

    def __init__(self, *, student_features: int | None = None, teacher_features: int | None = None) -> None:
        super().__init__()
        self.projection = ChannelProjection(student_features, teacher_features, operation="sparsity_pattern")

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the projection from the first sample, and check the channels of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels differ from those given before.
        """
        for sample in samples:
            self.projection.size(sample["student"], sample["teacher"])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return sparsity_pattern(self.projection(student), teacher)
