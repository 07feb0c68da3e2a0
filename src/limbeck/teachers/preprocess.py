"""What a teacher does to images before its model sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.registry import register

__all__ = ["Preprocessed", "Renormalize", "Resize"]


class Preprocessed(nn.Module):
    """A model behind what is done to its images: for one of another input size or normalization.

    Args:
        model: takes what the preprocess gives; it stands at ``model``.
        preprocess: such as `Resize`.

    Raises:
        ArgumentError: when it is called without a tensor, by keyword alone.

    >>> Preprocessed(nn.Flatten(), Resize(size=(2, 2)))(torch.ones(1, 1, 4, 4)).shape
    torch.Size([1, 4])
    """

    def __init__(self, model: nn.Module, preprocess: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.preprocess = preprocess

    def forward(self, *inputs: Tensor, **call: Any) -> Any:
        if not inputs:
            raise ArgumentError(
                f"preprocess: the model is called with {sorted(call)}; expected one tensor of images",
                code="unsupported",
                path="preprocess",
            )
        return self.model(self.preprocess(*inputs), **call)


@register("preprocess", "resize")
class Resize(nn.Module):
    """Images at another height and width, by bilinear interpolation (antialiased where they shrink).

    Args:
        size: height and width in pixels, at least 1 each.

    Raises:
        ArgumentError: if a number is below 1; in forward, if there are no images ``[B, C, H, W]``.

    >>> Resize(size=(8, 8))(torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(self, *, size: tuple[int, int]) -> None:
        super().__init__()
        if len(size) != 2 or min(size) < 1:
            raise ArgumentError(
                f"resize: size is {tuple(size)}; expected a height and a width of at least 1 pixel", path="size"
            )
        self.size = (size[0], size[1])

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim != 4:
            raise ArgumentError(
                f"resize: the input has shape {list(images.shape)}; expected images [B, C, H, W]",
                code="wrong_shape",
                path="images",
            )
        if images.shape[2:] == self.size:
            return images
        return F.interpolate(images, self.size, mode="bilinear", align_corners=False, antialias=True)


@register("preprocess", "renormalize")
class Renormalize(nn.Module):
    r"""Images that were normalized for the student, normalized for this teacher.

    .. math:: x' = \frac{(x \sigma + \mu) - \mu'}{\sigma'}

    with the student's mean and deviation :math:`\mu, \sigma` and the teacher's :math:`\mu', \sigma'`, per channel.

    Args:
        mean: of each channel in the student's normalization, C numbers; 0 for plain images.
        std: standard deviations, C numbers above 0; 1 for plain images.
        to_mean: of each channel in the teacher's normalization.
        to_std: standard deviations there, above 0.

    Raises:
        ArgumentError: if the lengths differ, a number is not finite, or a deviation is not above 0.

    >>> renormalize = Renormalize(mean=[0.5], std=[0.5], to_mean=[0.0], to_std=[2.0])
    >>> renormalize(torch.ones(1, 1, 1, 1)).item()
    0.5
    """

    factor: Tensor
    shift: Tensor

    def __init__(
        self, *, mean: Sequence[float], std: Sequence[float], to_mean: Sequence[float], to_std: Sequence[float]
    ) -> None:
        super().__init__()
        given = {"mean": mean, "std": std, "to_mean": to_mean, "to_std": to_std}
        if len({len(values) for values in given.values()}) != 1 or not mean:
            lengths = {name: len(values) for name, values in given.items()}
            raise ArgumentError(
                f"renormalize: the lengths are {lengths}; expected one number for each channel",
                code="mismatch",
                path="std",
            )
        if not all(math.isfinite(value) for values in given.values() for value in values):
            raise ArgumentError(f"renormalize: {given}; expected finite numbers", code="not_finite")
        if min(*std, *to_std) <= 0:
            raise ArgumentError(
                f"renormalize: std={list(std)}, to_std={list(to_std)}; expected numbers above 0", path="std"
            )
        source, target = torch.tensor([list(mean), list(std)]), torch.tensor([list(to_mean), list(to_std)])
        self.register_buffer("factor", (source[1] / target[1]).view(-1, 1, 1))
        self.register_buffer("shift", ((source[0] - target[0]) / target[1]).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return images * self.factor + self.shift
