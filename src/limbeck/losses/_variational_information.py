"""Variational information distillation: a Gaussian model of the teacher's features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses._features import (
    broadcast_channels,
    check_features,
    check_kinds,
    mean_over_features,
    pool_to_smaller,
)
from limbeck.losses._lazy import LazyModule, channels_of
from limbeck.losses._projection import ChannelProjection
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["VariationalInformation", "variational_information"]

_MIN_VARIANCE = 1e-5


def variational_information(student: Tensor, teacher: Tensor, *, variance: Tensor) -> Tensor:
    """Negative log-likelihood of the teacher's features under a Gaussian around the student's, in nats.

    mean ½ ((teacher − student)² / σ_c² + log σ_c²), over D for vectors and sequences and over C, H and W for maps. It
    bounds the negative mutual information up to constants (½ log 2π and the teacher's entropy), so it may be negative.
    The paper sums over the features; multiply its weights by their number.

    Args:
        student: the mean that the student's features predict: `[B, D]`, `[B, T, D]` or `[B, C, H, W]`; float16 and
            bfloat16 inputs are computed in float32.
        teacher: features of the same shape.
        variance: σ², `[C]`, above 0.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> variational_information(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]), variance=torch.ones(2))
        tensor([1.])

    Ahn, Hu, Damianou, Lawrence and Dai, 2019, "Variational Information Distillation for Knowledge Transfer",
    arXiv:1904.05835.
    """
    check_features("variational_information", student, teacher)
    channels = teacher.shape[1 if teacher.ndim == 4 else -1]
    if student.shape != teacher.shape or variance.shape != (channels,):
        raise ArgumentError(
            f"variational_information: student has shape {shape(student)}, teacher {shape(teacher)} and variance "
            f"{shape(variance)}, expected one shape for both and [{channels}]; pool the larger maps first",
            code="wrong_shape",
            path="student",
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    variance = broadcast_channels(variance.to(teacher.dtype), teacher)
    return mean_over_features((teacher - student).square() / variance + variance.log()) / 2


@register("loss", "variational_information")
class VariationalInformation(LazyModule):
    """Module for `limbeck.functional.variational_information`, with a network for the mean, and variances.

    The mean is three linear maps of the channels (1×1 convolutions) with ReLU between them, as wide as the teacher's
    channels; the variance of a channel is log(1 + exp(α_c)) + 10⁻⁵. All are learned together with the student;
    `prepare` sets their sizes. Where heights or widths differ, the larger features are average-pooled to the smaller
    size first.

    Args:
        initial_variance: the initial value of the variances, above 10⁻⁵.

    Raises:
        ArgumentError: if the initial variance is out of range.

    Cost: O(B C (S + C) H W) operations and O(B C H W) memory in addition, for a student of S channels.

    Example:
        >>> import torch
        >>> loss, student, teacher = VariationalInformation(), torch.zeros(2, 3), torch.zeros(2, 5)
        >>> loss.prepare([{"student": student, "teacher": teacher}])
        >>> loss(student, teacher).shape, loss.variance.shape
        (torch.Size([2]), torch.Size([5]))
    """

    alpha: Tensor

    def __init__(self, *, initial_variance: float = 5.0) -> None:
        super().__init__()
        if not _MIN_VARIANCE < initial_variance < math.inf:
            raise ArgumentError(
                f"variational_information: initial_variance is {initial_variance}, expected a finite number above "
                f"{_MIN_VARIANCE}; 5.0 is the default",
                path="initial_variance",
            )
        self.initial_variance = initial_variance

    def build(self, channels: Sequence[int]) -> None:
        student, teacher = channels
        self.mean = nn.ModuleList(
            ChannelProjection(width, teacher, operation="variational_information")
            for width in (student, teacher, teacher)
        )
        above = self.initial_variance - _MIN_VARIANCE
        # The inverse of log(1 + exp(α)), without overflow.
        self.alpha = nn.Parameter(torch.full((teacher,), above + math.log(-math.expm1(-above))))

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the network from the first sample, and check the channels of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels differ from those given before.
        """
        for sample in samples:
            self.size([channels_of(sample["student"]), channels_of(sample["teacher"])])

    @property
    def variance(self) -> Tensor:
        """σ², `[C]`, in at least float32."""
        return F.softplus(self.alpha.to(torch.promote_types(self.alpha.dtype, torch.float32))) + _MIN_VARIANCE

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        self.check_sized()
        check_kinds("variational_information", student, teacher)
        first, *others = self.mean
        assert isinstance(first, ChannelProjection)
        first.check(student)
        if channels_of(teacher) != len(self.alpha):
            raise ArgumentError(
                f"variational_information: teacher has shape {list(teacher.shape)}, so {channels_of(teacher)} "
                f"channels, but it is sized for {len(self.alpha)}; read the tap that it was sized for",
                code="wrong_shape",
                path="teacher",
            )
        student, teacher = at_least_float32(student), at_least_float32(teacher)
        if student.ndim == teacher.ndim == 4:
            student, teacher = pool_to_smaller(student, teacher)
        student = first(student)
        for projection in others:
            student = projection(F.relu(student))
        return variational_information(student, teacher, variance=self.variance)

    def extra_repr(self) -> str:
        return f"initial_variance={self.initial_variance}"
