"""A loss that bounds the information which the student's features hold about the teacher's, as a module."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck import functional
from limbeck.errors import ArgumentError
from limbeck.functional._features import check_kinds, pooled_alike
from limbeck.functional._precision import at_least_float32
from limbeck.losses._projection import ChannelProjection
from limbeck.losses._sized import Sized, channels_of
from limbeck.registry import register

__all__ = ["VariationalInformation"]

_least_variance = 1e-5


@register("loss", "variational_information")
class VariationalInformation(Sized):
    """Keeps the Gaussian of `limbeck.functional.variational_information`: a network for its mean, and its variances.

    The mean is three linear maps of the channels (1×1 convolutions) with ReLU between them, as wide as the teacher's
    channels; the variance of a channel is log(1 + exp(α_c)) + 10⁻⁵. All are learned together with the student and sized
    by `prepare`. Where heights or widths differ, the larger features are averaged down to the smaller first.

    Args:
        initial_variance: what the variances start from, above 10⁻⁵.

    Raises:
        ArgumentError: if the initial variance is out of range.

    Cost: O(B C (S + C) H W) operations more, O(B C H W) memory more, for a student of S channels.

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
        if not _least_variance < initial_variance < math.inf:
            raise ArgumentError(
                f"variational_information: initial_variance is {initial_variance}, expected a finite number above "
                f"{_least_variance}; 5.0 is the default"
            )
        self.initial_variance = initial_variance

    def build(self, channels: Sequence[int]) -> None:
        student, teacher = channels
        self.mean = nn.ModuleList(
            ChannelProjection(width, teacher, operation="variational_information")
            for width in (student, teacher, teacher)
        )
        above = self.initial_variance - _least_variance
        # The inverse of log(1 + exp(α)), without overflow.
        self.alpha = nn.Parameter(torch.full((teacher,), above + math.log(-math.expm1(-above))))

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the network from the first sample, and check the channels of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels are not those given before.
        """
        for sample in samples:
            self.size([channels_of(sample["student"]), channels_of(sample["teacher"])])

    @property
    def variance(self) -> Tensor:
        """σ², `[C]`, in at least float32."""
        return F.softplus(self.alpha.to(torch.promote_types(self.alpha.dtype, torch.float32))) + _least_variance

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        self.check_sized()
        check_kinds("variational_information", student, teacher)
        first, *others = self.mean
        assert isinstance(first, ChannelProjection)
        first.check(student)
        if channels_of(teacher) != len(self.alpha):
            raise ArgumentError(
                f"variational_information: teacher has shape {list(teacher.shape)}, so {channels_of(teacher)} "
                f"channels, but it is sized for {len(self.alpha)}; read the tap that it was sized for"
            )
        student, teacher = at_least_float32(student), at_least_float32(teacher)
        if student.ndim == teacher.ndim == 4:
            student, teacher = pooled_alike(student, teacher)
        student = first(student)
        for projection in others:
            student = projection(F.relu(student))
        return functional.variational_information(student, teacher, variance=self.variance)

    def extra_repr(self) -> str:
        return f"initial_variance={self.initial_variance}"
