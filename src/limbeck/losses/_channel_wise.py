"""A loss between the distributions that each channel forms over the positions, as a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from limbeck import functional
from limbeck.functional._features import check_maps
from limbeck.losses._projection import ChannelProjection, projected_where_needed
from limbeck.losses._softening import Tempered
from limbeck.losses._temperature import Temperature
from limbeck.registry import register

__all__ = ["ChannelWise"]


@register("loss", "channel_wise")
class ChannelWise(Tempered):
    """Keeps a temperature, and a learned projection if it is needed, for `limbeck.functional.channel_wise`.

    The student's channels are projected to the teacher's where their numbers differ. Equal numbers are compared
    channel by channel, as logit maps must be: `prepare` then drops the projection.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Cost: O(B S C H W) operations more, O(B C H W) memory more, for a student of S channels.

    Example:
        >>> import torch
        >>> ChannelWise(temperature=2.0)(torch.zeros(1, 1, 1, 2), torch.tensor([[[[2.0, 0.0]]]]))
        tensor([0.4438])
    """

    projection: ChannelProjection | None

    def __init__(self, *, temperature: Temperature = 4.0) -> None:
        super().__init__("channel_wise", temperature)
        self.projection = ChannelProjection(operation="channel_wise")

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the projection from the first sample, or drop it if the channels are equal.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels are not those given before.
        """
        if all(sample["student"].shape[1] == sample["teacher"].shape[1] for sample in samples):
            self.projection = None
        for sample in samples:
            if self.projection is not None:
                self.projection.size(sample["student"], sample["teacher"])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        check_maps("channel_wise", student, teacher)
        student = projected_where_needed(self.projection, student, teacher)
        return functional.channel_wise(student, teacher, temperature=self.temperature_in_force)
