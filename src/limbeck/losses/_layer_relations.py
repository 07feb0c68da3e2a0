"""Losses between relations of channels, as modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from limbeck import functional
from limbeck.functional._features import check_maps
from limbeck.losses._projection import ChannelProjection, projected_where_needed
from limbeck.registry import register

__all__ = ["FlowOfSolution", "InterChannelCorrelation"]


@register("loss", "flow_of_solution")
class FlowOfSolution(nn.Module):
    """Keeps learned projections, where they are needed, for `limbeck.functional.flow_of_solution`.

    The student's channels are projected to the teacher's where their numbers differ, on either layer by itself. Where
    they are equal, as in the paper, `prepare` drops the projection.

    Cost: O(B S (m + n) H W) operations more, O(B (m + n) H W) memory more, for a student of S channels.

    Example:
        >>> import torch
        >>> student, teacher = torch.ones(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
        >>> FlowOfSolution()(student, 2 * student, teacher, 3 * teacher)
        tensor([1.])
    """

    first: ChannelProjection | None
    second: ChannelProjection | None

    def __init__(self) -> None:
        super().__init__()
        self.first = ChannelProjection(operation="flow_of_solution")
        self.second = ChannelProjection(operation="flow_of_solution")

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size each projection from the first sample, or drop it if the channels are equal.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels are not those given before.
        """
        for layer in ("first", "second"):
            pairs = [(sample[f"student_{layer}"], sample[f"teacher_{layer}"]) for sample in samples]
            setattr(self, layer, _sized(getattr(self, layer), pairs))

    def forward(
        self, student_first: Tensor, student_second: Tensor, teacher_first: Tensor, teacher_second: Tensor
    ) -> Tensor:
        check_maps("flow_of_solution", student_first, teacher_first)
        check_maps("flow_of_solution", student_second, teacher_second)
        return functional.flow_of_solution(
            projected_where_needed(self.first, student_first, teacher_first),
            projected_where_needed(self.second, student_second, teacher_second),
            teacher_first,
            teacher_second,
        )


@register("loss", "inter_channel_correlation")
class InterChannelCorrelation(nn.Module):
    """Keeps a learned projection, where it is needed, for `limbeck.functional.inter_channel_correlation`.

    The student's channels are projected to the teacher's where their numbers differ. Where they are equal, `prepare`
    drops the projection.

    Cost: O(B S C H W) operations more, O(B C H W) memory more, for a student of S channels.

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
            ArgumentError: if the channels are not those given before.
        """
        self.projection = _sized(self.projection, [(sample["student"], sample["teacher"]) for sample in samples])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        check_maps("inter_channel_correlation", student, teacher)
        return functional.inter_channel_correlation(projected_where_needed(self.projection, student, teacher), teacher)


def _sized(projection: ChannelProjection | None, pairs: Sequence[tuple[Tensor, Tensor]]) -> ChannelProjection | None:
    if projection is None or all(student.shape[1] == teacher.shape[1] for student, teacher in pairs):
        return None
    for student, teacher in pairs:
        projection.size(student, teacher)
    return projection
