"""The feature distillation of Heo et al. (2019): a loss between responses before the ReLU, with margins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses._features import broadcast_channels, check_features, mean_over_features, resize_to_teacher
from limbeck.losses._lazy import LazyModule, channels_of
from limbeck.losses._projection import ChannelProjection
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["Overhaul", "overhaul"]


def overhaul(student: Tensor, teacher: Tensor, *, margin: Tensor) -> Tensor:
    """Partial squared distance to the teacher's responses after a margin ReLU, averaged over the features.

    mean d(student, max(teacher, m_c)), with d(s, t) = 0 where s ≤ t ≤ 0, else (s − t)². Where the teacher's neuron is
    off, any response below the margin m_c of the channel has the loss 0. The paper sums over the features; multiply its
    weights by their number.

    Args:
        student: responses projected to the teacher's channels: `[B, D]`, `[B, T, D]` or `[B, C, H, W]`; float16 and
            bfloat16 inputs are computed in float32. Maps of another height or width are resized to the teacher's by
            bilinear interpolation.
        teacher: responses before the ReLU, of the same kind.
        margin: m, `[C]`, at most 0: the mean of each channel's negative responses.

    Returns:
        One value per sample, `[B]`, and for sequences one per position, `[B, T]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[-5.0, 0.5, 1.0]]), torch.tensor([[-4.0, -4.0, 3.0]])
        >>> overhaul(student, teacher, margin=torch.full((3,), -0.5))
        tensor([1.6667])

    Heo, Kim, Yun, Park, Kwak and Choi, 2019, "A Comprehensive Overhaul of Feature Distillation", arXiv:1904.01866.
    """
    check_features("overhaul", student, teacher)
    channels = teacher.shape[1 if teacher.ndim == 4 else -1]
    if margin.shape != (channels,):
        raise ArgumentError(
            f"overhaul: margin has shape {shape(margin)} and teacher {shape(teacher)}, expected [{channels}]; "
            f"give one margin for each channel",
            code="wrong_shape",
            path="margin",
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    student = resize_to_teacher(student, teacher)
    target = torch.maximum(teacher, broadcast_channels(margin.to(teacher.dtype), teacher))
    asked = (student > target) | (target > 0)
    return mean_over_features((student - target).square() * asked)


@register("loss", "overhaul")
class Overhaul(LazyModule):
    """Module for `limbeck.functional.overhaul`, with margins and a learned projection of the student's channels.

    `prepare` sets the margin of a channel to the mean of the teacher's negative responses over all given samples, or 0
    if there are none. The paper computes this mean from the statistics of the batch normalization before the ReLU,
    assuming Gaussian responses. Measuring it needs no such layer, but several hundred rows, so this loss asks
    `Distiller.prepare` for 8 batches. The paper's regressor is a 1×1 convolution with batch normalization; here it has
    none, so that the value of a row does not depend on the other rows.

    Cost: O(B S C H W) operations and O(B C H W) memory in addition, for a student of S channels.

    Example:
        >>> import torch
        >>> loss, teacher = Overhaul(), torch.tensor([[-1.0, 4.0, 2.0], [-3.0, 4.0, 1.0]])
        >>> loss.prepare([{"student": torch.zeros(2, 2), "teacher": teacher}])
        >>> loss.margin
        tensor([-2.,  0.,  0.])
        >>> loss(torch.zeros(2, 2), torch.zeros(2, 3)).shape
        torch.Size([2])
    """

    prepare_batches: ClassVar[int] = 8

    margin: Tensor

    def build(self, channels: Sequence[int]) -> None:
        student, teacher = channels
        self.projection = ChannelProjection(student, teacher, operation="overhaul")
        self.register_buffer("margin", torch.zeros(teacher))

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the projection, and set the margins from the teacher's responses.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels are not those given before, or the responses are not finite.
        """
        rows = []
        for sample in samples:
            student, teacher = sample["student"], sample["teacher"]
            self.size([channels_of(student), channels_of(teacher)])
            rows.append((teacher.movedim(1, -1) if teacher.ndim == 4 else teacher).detach().flatten(0, -2))
        total = torch.stack([responses.clamp(max=0).sum(dim=0) for responses in rows]).sum(dim=0)
        count = torch.stack([(responses < 0).sum(dim=0) for responses in rows]).sum(dim=0)
        margin = total / count.clamp(min=1)
        if not margin.isfinite().all():
            raise ArgumentError(
                "overhaul: the teacher's responses are not finite; check the batch given to prepare",
                code="not_finite",
                path="teacher",
            )
        self.margin.copy_(margin)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        self.check_sized()
        return overhaul(self.projection(student), teacher, margin=self.margin)
