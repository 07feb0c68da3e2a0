"""A loss between the spatial distributions of each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from limbeck.losses._checks import check_temperature
from limbeck.losses._features import check_maps, resize_to_teacher
from limbeck.losses._kl_divergence import kl_of_log_probs
from limbeck.losses._projection import ChannelProjection, project_if_needed
from limbeck.losses._temperature import Temperature, TemperatureLoss
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["ChannelWise", "channel_wise"]


def channel_wise(student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 4.0) -> Tensor:
    """Kullback-Leibler divergence between the channels' softened distributions over the positions, in nats, times T².

    (T² / C) Σ_c Σ_i φ_ci(teacher) log (φ_ci(teacher) / φ_ci(student)), where φ_c is the softmax of channel c over the
    H·W positions i at temperature T. The student's features are already projected to the teacher's channels. Maps of
    another height or width are resized to the teacher's by bilinear interpolation.

    Args:
        student: maps or logit maps `[B, C, H, W]`; float16 and bfloat16 inputs are computed in float32.
        teacher: maps `[B, C, H', W']`.
        temperature: T, a number above 0, or a 0-d floating tensor.

    Returns:
        One value per sample, `[B]`, in at least float32; it does not change when a number is added to a channel.

    Raises:
        ArgumentError: if the shapes do not fit, or the temperature is not a finite number above 0.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 1, 1, 2), torch.tensor([[[[2.0, 0.0]]]])
        >>> channel_wise(student, teacher, temperature=2.0), channel_wise(student + 1, student)
        (tensor([0.4438]), tensor([0.]))

    Shu, Liu, Gao, Yan and Shen, 2021, "Channel-wise Knowledge Distillation for Dense Prediction", arXiv:2011.13256.
    """
    check_temperature("channel_wise", temperature)
    check_maps("channel_wise", student, teacher, channels=True)
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    log_q = F.log_softmax(resize_to_teacher(student, teacher).flatten(2) / temperature, dim=2)
    log_p = F.log_softmax(teacher.flatten(2) / temperature, dim=2)
    return kl_of_log_probs(log_p, log_q).mean(dim=1) * temperature**2


@register("loss", "channel_wise")
class ChannelWise(TemperatureLoss):
    """Module for `limbeck.functional.channel_wise`, with a temperature and, if needed, a learned projection.

    The student's channels are projected to the teacher's if their numbers differ. Otherwise `prepare` drops the
    projection and channels are compared one by one, as logit maps require.

    Args:
        temperature: T, a number above 0, a schedule of the optimizer step, or `Curriculum`.

    Raises:
        ArgumentError: if the temperature is not a finite number above 0.

    Cost: O(B S C H W) operations and O(B C H W) memory in addition, for a student of S channels.

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
            ArgumentError: if the channels differ from those given before.
        """
        if all(sample["student"].shape[1] == sample["teacher"].shape[1] for sample in samples):
            self.projection = None
        for sample in samples:
            if self.projection is not None:
                self.projection.size(sample["student"], sample["teacher"])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        check_maps("channel_wise", student, teacher)
        student = project_if_needed(self.projection, student, teacher)
        return channel_wise(student, teacher, temperature=self.current_temperature)
