"""Flips, crops and erasing for whole batches, each row with its own draws."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.hashing import uniform

__all__ = ["Augment"]

_FLIP, _CROP_TOP, _CROP_LEFT, _ERASE, _AREA, _ASPECT, _ERASE_TOP, _ERASE_LEFT = range(8)
_AREAS = (0.02, 0.33)
_LOG_ASPECTS = (math.log(0.3), math.log(3.3))


class Augment:
    """Random changes to images, as a pure function of (seed, row, view): batch mates and order have no influence.

    The order is crop, flip, erase. A crop pads with zeros on each side and cuts a window of the image's size at a
    uniform place. An erased box covers 0.02 to 0.33 of the area with aspect 0.3 to 3.3 (uniform in its logarithm), is
    cut down to the image where it does not fit, lies at a uniform place and is filled with zeros.

    Args:
        flip: mirror left and right with probability ½.
        crop: how many pixels to pad on each side; 0 for none.
        erase: the probability of erasing.

    Raises:
        ArgumentError: if crop is negative or erase is no probability.

    >>> images = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 1, 4).repeat(3, 1, 1, 1)
    >>> augment = Augment(flip=True)
    >>> augment(images, row=torch.tensor([0, 1, 2]), view=torch.tensor([0, 0, 0]), seed=2).flatten(1)
    tensor([[3, 2, 1, 0],
            [0, 1, 2, 3],
            [0, 1, 2, 3]], dtype=torch.uint8)

    Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural networks",
    doi:10.1145/3065386. Zhong, Zheng, Kang, Li and Yang (2020), "Random erasing data augmentation", arXiv:1708.04896.
    """

    def __init__(self, *, flip: bool = False, crop: int = 0, erase: float = 0.0) -> None:
        if crop < 0:
            raise ArgumentError(f"crop is {crop}; expected a number of pixels, 0 for none", path="crop")
        if not 0 <= erase <= 1:
            raise ArgumentError(f"erase is {erase}; expected a probability in 0..1", path="erase")
        self.flip = flip
        self.crop = crop
        self.erase = erase

    @property
    def changes(self) -> bool:
        """Whether anything is on."""
        return self.flip or self.crop > 0 or self.erase > 0

    def __call__(self, images: Tensor, row: Tensor, view: Tensor, seed: int) -> Tensor:
        """Change each image by the draws of its row and view.

        Args:
            images: `[B, C, H, W]`, any type.
            row: int64 `[B]`.
            view: int64 `[B]`: the view of each row, usually the epoch.
            seed: decides all draws.

        Returns:
            A tensor of the same shape and type; the same object if all is off.
        """
        if self.flip or self.crop:
            images = self._move(images, row, view, seed)
        if self.erase:
            images = self._erase(images, row, view, seed)
        return images

    def _move(self, images: Tensor, row: Tensor, view: Tensor, seed: int) -> Tensor:
        batch, channels, height, width = images.shape
        down = torch.arange(height, device=images.device).expand(batch, height)
        right = torch.arange(width, device=images.device).expand(batch, width)
        if self.flip:
            mirrored = uniform(seed, row, view, _FLIP) < 0.5
            right = torch.where(mirrored[:, None], width - 1 - right, right)
        if self.crop:
            places = 2 * self.crop + 1
            down = down + _place(uniform(seed, row, view, _CROP_TOP), places)[:, None]
            right = right + _place(uniform(seed, row, view, _CROP_LEFT), places)[:, None]
            images = F.pad(images, (self.crop,) * 4)
        pixel = down[:, :, None] * (width + 2 * self.crop) + right[:, None, :]
        pixel = pixel.reshape(batch, 1, height * width).expand(batch, channels, height * width)
        return images.flatten(2).gather(2, pixel).view(batch, channels, height, width)

    def _erase(self, images: Tensor, row: Tensor, view: Tensor, seed: int) -> Tensor:
        height, width = images.shape[2:]
        # float64, so that a row's box does not change with how torch vectorises exp over the batch
        area = _between(uniform(seed, row, view, _AREA).double(), *_AREAS) * (height * width)
        aspect = _between(uniform(seed, row, view, _ASPECT).double(), *_LOG_ASPECTS).exp()
        tall = (area * aspect).sqrt().round().clamp(1, height).long()
        wide = (area / aspect).sqrt().round().clamp(1, width).long()
        top = _place(uniform(seed, row, view, _ERASE_TOP), height - tall + 1)
        left = _place(uniform(seed, row, view, _ERASE_LEFT), width - wide + 1)
        tall = tall * (uniform(seed, row, view, _ERASE) < self.erase)
        box = _inside(top, tall, height)[:, None, :, None] & _inside(left, wide, width)[:, None, None, :]
        return images.masked_fill(box, 0)


def _between(draw: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * draw


def _place(draw: Tensor, places: int | Tensor) -> Tensor:
    # float64: in float32 the product may round up to places itself
    return (draw.double() * places).long()


def _inside(start: Tensor, length: Tensor, size: int) -> Tensor:
    at = torch.arange(size, device=start.device)
    return (at >= start[:, None]) & (at < (start + length)[:, None])
