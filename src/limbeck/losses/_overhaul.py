"""A loss between responses before the ReLU, as a module that learns the margins from the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from limbeck import functional
from limbeck.errors import ArgumentError
from limbeck.losses._projection import ChannelProjection
from limbeck.losses._sized import Sized, channels_of
from limbeck.registry import register

__all__ = ["Overhaul"]


@register("loss", "overhaul")
class Overhaul(Sized):
    """Keeps margins and a learned projection of the student's channels for `limbeck.functional.overhaul`.

    `prepare` takes for the margin of a channel the mean of the teacher's negative responses over all samples that it is
    given; 0 for a channel that has none. The paper computes this mean from the statistics of the batch normalization
    before the ReLU, as if responses were Gaussian; measured responses need no such layer, but some hundred rows, so it
    asks `Distiller.prepare` for 8 batches. The paper's regressor is a 1×1 convolution with batch normalization; here
    without, so that the value of a row does not depend on the other rows.

    Cost: O(B S C H W) operations more, O(B C H W) memory more, for a student of S channels.

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
        """Size the projection, and take the margins from the teacher's responses.

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
            raise ArgumentError("overhaul: the teacher's responses are not finite; check the batch given to prepare")
        self.margin.copy_(margin)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        self.check_sized()
        return functional.overhaul(self.projection(student), teacher, margin=self.margin)
