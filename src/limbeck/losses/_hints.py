"""Losses between intermediate features, as modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from limbeck import functional
from limbeck.errors import ArgumentError
from limbeck.losses._projection import ChannelProjection
from limbeck.registry import register

__all__ = ["HintMSE"]


@register("loss", "hint_mse")
class HintMSE(nn.Module):
    """Keeps a learned projection of the student's channels for `limbeck.functional.hint_mse`.

    The projection is sized here if both numbers of channels are given, else by `prepare`.

    Args:
        student_features: the student's channels.
        teacher_features: the teacher's channels.
        project: whether there is a projection; without one the student's features must have the teacher's channels, as
            where the student has a projector of its own.

    Raises:
        ArgumentError: if a number of channels is not positive, or is given although nothing is projected.

    Cost: O(B S C H W) operations more, O(B C H W) memory more, for a student of S channels.

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
            raise ArgumentError("hint_mse: project=False has no projection to size; leave the numbers of features out")
        sizes = (student_features, teacher_features)
        self.projection = ChannelProjection(*sizes, operation="hint_mse") if project else None

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the projection from the first sample, and check the channels of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels are not those given before.
        """
        for sample in samples:
            if self.projection is not None:
                self.projection.size(sample["student"], sample["teacher"])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return functional.hint_mse(student if self.projection is None else self.projection(student), teacher)
