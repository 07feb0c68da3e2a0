"""A loss between the inner products of the channels of one layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.losses._blocks import row_slice, values_over_blocks
from limbeck.losses._features import check_maps
from limbeck.losses._projection import ChannelProjection, project_if_needed, size_if_needed
from limbeck.losses._unit import unit_vectors
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["InterChannelCorrelation", "inter_channel_correlation"]


def inter_channel_correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of the channels' normalized correlations, averaged over the channels.

    (1 / C) ‖G(teacher) − G(student)‖²_F, where row c of G(F) is the row of inner products F_c · F_d over all channels
    d, divided by its length, and F_c is channel c as a vector over the positions. The equation has 1 / C² and no
    division by the length; the authors' code, with which they chose the weights, is as here. The student's channels are
    already projected to the teacher's if they differ. A channel of zeros has correlations 0.

    Args:
        student: maps `[B, C, H, W]`; float16 and bfloat16 inputs are computed in float32.
        teacher: maps `[B, C, H', W']` of any height and width.

    Returns:
        One value per sample, `[B]`, in at least float32; it does not change when all features are scaled alike.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: relations between layers.
    Cost: O(B C² H W) operations, O(B + C²) memory, and blocks of at most 2²³ elements.

    Example:
        >>> import torch
        >>> same, apart = torch.ones(1, 2, 1, 2), torch.eye(2).reshape(1, 2, 1, 2)
        >>> inter_channel_correlation(same, apart), inter_channel_correlation(3 * apart, apart)
        (tensor([0.5858]), tensor([0.]))

    Liu, Huang, Lin, Xie, Wang, Chang and Liang, 2021, "Exploring Inter-Channel Correlation for Diversity-preserved
    Knowledge Distillation", arXiv:2202.03680.
    """
    check_maps("inter_channel_correlation", student, teacher, channels=True)
    student, teacher = at_least_float32(student).flatten(2), at_least_float32(teacher).flatten(2)

    def of_samples(start: int, stop: int) -> Tensor:
        of_student, of_teacher = (
            unit_vectors(channels @ channels.mT)
            for channels in (row_slice(student, start, stop), row_slice(teacher, start, stop))
        )
        return F.mse_loss(of_student, of_teacher, reduction="none").sum(dim=2).mean(dim=1)

    return values_over_blocks(of_samples, len(student), student.shape[1] ** 2)


@register("loss", "inter_channel_correlation")
class InterChannelCorrelation(nn.Module):
    """Module for `limbeck.functional.inter_channel_correlation`, with a learned projection where it is needed.

    The student's channels are projected to the teacher's if their numbers differ. If they are equal, `prepare` drops
    the projection.

    Cost: O(B S C H W) operations and O(B C H W) memory in addition, for a student of S channels.

    Example:
        >>> import torch
        >>> same, apart = torch.ones(1, 2, 1, 2), torch.eye(2).reshape(1, 2, 1, 2)
        >>> InterChannelCorrelation()(same, apart)
        tensor([0.5858])
    """

    projection: ChannelProjection | None

    def __init__(self) -> None:
        super().__init__()
        self.projection = ChannelProjection(operation="inter_channel_correlation")

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the projection from the first sample, or drop it if the channels are equal.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels differ from those given before.
        """
        self.projection = size_if_needed(
            self.projection, [(sample["student"], sample["teacher"]) for sample in samples]
        )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        check_maps("inter_channel_correlation", student, teacher)
        return inter_channel_correlation(project_if_needed(self.projection, student, teacher), teacher)
