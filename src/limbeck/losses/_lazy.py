"""Modules that build their layers when the numbers of channels are known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError

__all__ = ["LazyModule", "channels_of", "convolve"]


class LazyModule(nn.Module, ABC):
    """Builds its layers in `size`, or when the state of a built module is loaded.

    A subclass implements `build`. Initial weights are drawn in float32 and then moved to the dtype and the device of
    the module.
    """

    channels: Tensor
    _like: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("channels", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("_like", torch.zeros(0), persistent=False)

    @abstractmethod
    def build(self, channels: Sequence[int]) -> None:
        """Create parameters and buffers for these numbers of channels."""

    @property
    def is_sized(self) -> bool:
        """Whether the layers are built."""
        return len(self.channels) > 0

    def size(self, channels: Sequence[int]) -> None:
        """Build for these numbers of channels, or check them.

        Raises:
            ArgumentError: if it is sized for others.
        """
        if not self.is_sized:
            self.build(channels)
            self.channels = torch.tensor(channels, dtype=torch.int64)
            self.to(self._like)
        elif self.channels.tolist() != list(channels):
            raise ArgumentError(
                f"{type(self).__name__}: the features have {list(channels)} channels, but it is sized for "
                f"{self.channels.tolist()}; make a new one for other taps",
                code="mismatch",
                path="features",
            )

    def check_sized(self) -> None:
        """Raise an error if the layers are not built yet."""
        if not self.is_sized:
            raise ArgumentError(
                f"{type(self).__name__}: its size is not known yet; call Distiller.prepare with a batch before the "
                f"first step",
                code="not_ready",
            )

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        channels = state_dict.get(f"{prefix}channels")
        if not self.is_sized and channels is not None and len(channels):
            self.size(channels.tolist())
        super()._load_from_state_dict(state_dict, prefix, *rest)


def channels_of(features: Tensor) -> int:
    """The length of the channel axis: axis 1 of maps, otherwise the last."""
    return features.shape[1 if features.ndim == 4 else -1]


def convolve(operation: str, layer: nn.Module, features: Tensor) -> Tensor:
    """The output of a `Conv2d` with padding "same", in the wider dtype of weights and features, at least float32."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    if features.ndim != 4 or features.shape[1] != layer.in_channels or not features.is_floating_point():
        raise ArgumentError(
            f"{operation}: features are {features.dtype} of shape {list(features.shape)}, expected floating ones "
            f"[B, {layer.in_channels}, H, W], for which it is sized; read the tap that prepare has seen",
            code="wrong_shape",
            path="features",
        )
    dtype = torch.promote_types(torch.promote_types(features.dtype, layer.weight.dtype), torch.float32)
    return F.conv2d(features.to(dtype), layer.weight.to(dtype), layer.bias.to(dtype), padding=layer.kernel_size[0] // 2)
