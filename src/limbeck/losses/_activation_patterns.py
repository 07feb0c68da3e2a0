"""Losses between the patterns of which neurons are on, as modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from limbeck import functional
from limbeck.functional._activation_patterns import check_margin
from limbeck.losses._projection import ChannelProjection
from limbeck.registry import register

__all__ = ["ActivationBoundary", "SparsityPattern"]


@register("loss", "activation_boundary")
class ActivationBoundary(nn.Module):
    """Keeps a margin and a learned projection of the student's channels for `limbeck.functional.activation_boundary`.

    The paper's connector is a 1×1 convolution with batch normalization; here without, so that the value of a row does
    not depend on the other rows. The projection is sized as that of `HintMSE`.

    Args:
        margin: μ, a number above 0.
        student_features: the student's channels.
        teacher_features: the teacher's channels.

    Raises:
        ArgumentError: if a setting is out of range.

    Cost: O(B S C H W) operations more, O(B C H W) memory more, for a student of S channels.

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
            ArgumentError: if the channels are not those given before.
        """
        for sample in samples:
            self.projection.size(sample["student"], sample["teacher"])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return functional.activation_boundary(self.projection(student), teacher, margin=self.margin)

    def extra_repr(self) -> str:
        return f"margin={self.margin}"


@register("loss", "sparsity_pattern")
class SparsityPattern(nn.Module):
    """Keeps a learned projection of the student's channels for `limbeck.functional.sparsity_pattern`.

    The projection is sized as that of `HintMSE`.

    Args:
        student_features: the student's channels.
        teacher_features: the teacher's channels.

    Raises:
        ArgumentError: if a number of channels is not positive.

    Cost: O(B S C H W) operations more, O(B C H W) memory more, for a student of S channels.

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
            ArgumentError: if the channels are not those given before.
        """
        for sample in samples:
            self.projection.size(sample["student"], sample["teacher"])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return functional.sparsity_pattern(self.projection(student), teacher)
