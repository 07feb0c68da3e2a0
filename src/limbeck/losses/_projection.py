"""A learned linear map from the student's channels to the teacher's, with sizes that may be set later."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from limbeck.errors import ArgumentError
from limbeck.losses._lazy import channels_of

__all__ = ["ChannelProjection", "project_if_needed", "size_if_needed"]


@final
class ChannelProjection(nn.Module):
    """A linear map of the channel axis.

    y = W x + b, over D of `[B, D]` and `[B, T, D]`, and over C of maps `[B, C, H, W]` (a 1×1 convolution). W and b are
    drawn like those of `torch.nn.Linear`. The parameters exist from construction, so an optimizer may be built before
    `size` is called. Before that, the state is empty; loading the state of a sized projection sets the sizes.

    Args:
        in_features: the student's channels; None if not known yet.
        out_features: the teacher's channels; None if not known yet.
        operation: the loss that it belongs to, for errors.

    Raises:
        ArgumentError: if a number of channels is not positive.

    Example:
        >>> import torch
        >>> projection = ChannelProjection()
        >>> projection.size(torch.zeros(2, 3), torch.zeros(2, 5))
        >>> projection(torch.zeros(2, 3)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self, in_features: int | None = None, out_features: int | None = None, *, operation: str = "projection"
    ) -> None:
        super().__init__()
        self.operation = operation
        for name, features in (("in_features", in_features), ("out_features", out_features)):
            if features is not None and features < 1:
                raise ArgumentError(
                    f"{operation}: {name} is {features}, expected at least 1, or None to size it later", path=name
                )
        self.in_features = in_features
        self.out_features = out_features
        self.weight: Tensor = UninitializedParameter()
        self.bias: Tensor = UninitializedParameter()
        if in_features is not None and out_features is not None:
            self._materialize(in_features, out_features)
            self._draw(in_features)

    @property
    def is_sized(self) -> bool:
        """Whether the parameters have values."""
        return self.in_features is not None and self.out_features is not None

    def size(self, student: Tensor, teacher: Tensor) -> None:
        """Set the numbers of channels from features of both models, or check the known ones.

        Raises:
            ArgumentError: if the channels differ from those given before.
        """
        in_features, out_features = self._channels(student), self._channels(teacher)
        for name, known, seen in (
            ("student", self.in_features, in_features),
            ("teacher", self.out_features, out_features),
        ):
            if known is not None and known != seen:
                raise ArgumentError(
                    f"{self.operation}: the {name}'s features have {seen} channels, but it is sized for {known}; "
                    f"give {name}_features={seen}, or leave it out",
                    code="mismatch",
                    path=f"{name}_features",
                )
        if not self.is_sized:
            self._materialize(in_features, out_features)
            self._draw(in_features)

    def check(self, features: Tensor) -> None:
        """Reject features with other channels than the projection expects.

        Raises:
            ArgumentError: if the channels or the number of axes do not fit.
        """
        channels = self._channels(features)
        if channels != self.in_features:
            raise ArgumentError(
                f"{self.operation}: features have shape {list(features.shape)}, so {channels} channels, but it is "
                f"sized for {self.in_features}; read the tap that it was sized for",
                code="wrong_shape",
                path="features",
            )

    def forward(self, features: Tensor) -> Tensor:
        if not self.is_sized:
            raise ArgumentError(
                f"{self.operation}: its size is not known yet; call Distiller.prepare with a batch before the first "
                f"step, or give student_features and teacher_features",
                code="not_ready",
            )
        self.check(features)
        dtype = torch.promote_types(torch.promote_types(features.dtype, self.weight.dtype), torch.float32)
        features, weight, bias = features.to(dtype), self.weight.to(dtype), self.bias.to(dtype)
        if features.ndim == 4:
            return F.conv2d(features, weight[:, :, None, None], bias)
        return F.linear(features, weight, bias)

    def _channels(self, features: Tensor) -> int:
        if features.ndim not in (2, 3, 4) or not features.is_floating_point():
            raise ArgumentError(
                f"{self.operation}: features are {features.dtype} of shape {list(features.shape)}, expected [B, D], "
                f"[B, T, D] or [B, C, H, W], floating; read a tap that gives such",
                code="wrong_shape",
                path="features",
            )
        return channels_of(features)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"

    def _materialize(self, in_features: int, out_features: int) -> None:
        self.in_features, self.out_features = in_features, out_features
        for parameter, shape in ((self.weight, (out_features, in_features)), (self.bias, (out_features,))):
            assert isinstance(parameter, UninitializedParameter)
            parameter.materialize(shape)

    def _draw(self, in_features: int) -> None:
        bound = 1.0 / math.sqrt(in_features)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        if self.is_sized:
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        if not self.is_sized and {f"{prefix}weight", f"{prefix}bias"} <= state_dict.keys():
            self._size_like(state_dict[f"{prefix}weight"], prefix, errors=rest[-1])
        if self.is_sized:
            super()._load_from_state_dict(state_dict, prefix, *rest)

    def _size_like(self, weight: Tensor, prefix: str, errors: list[str]) -> None:
        out_features, in_features = weight.shape
        if self.in_features in (None, in_features) and self.out_features in (None, out_features):
            self._materialize(in_features, out_features)
        else:
            errors.append(
                f"size mismatch for {prefix}weight: the state maps {in_features} to {out_features} channels, the "
                f"projection was made for {self.in_features} to {self.out_features}"
            )


def project_if_needed(projection: ChannelProjection | None, student: Tensor, teacher: Tensor) -> Tensor:
    """The student's maps, projected unless the projection is None, or has no size yet and the channels are equal."""
    if projection is None or (not projection.is_sized and student.shape[1] == teacher.shape[1]):
        return student
    projected: Tensor = projection(student)
    return projected


def size_if_needed(
    projection: ChannelProjection | None, pairs: Sequence[tuple[Tensor, Tensor]]
) -> ChannelProjection | None:
    """The projection, sized for these pairs of maps; None if the channels of all pairs are equal."""
    if projection is None or all(student.shape[1] == teacher.shape[1] for student, teacher in pairs):
        return None
    for student, teacher in pairs:
        projection.size(student, teacher)
    return projection
