"""The pixels of a set of images."""

from __future__ import annotations

import hashlib
from typing import Protocol

import torch
from torch import Tensor

from limbeck.errors import DataError

__all__ = ["Images", "MemoryImages", "check_range"]


class Images(Protocol):
    """The pixels of a set, wherever they are."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""

    def __len__(self) -> int: ...

    def take(self, rows: Tensor) -> Tensor:
        """The images of these rows (int64 `[B]`) as a new tensor `[B, C, H, W]`, uint8 in 0..255 or float32 in 0..1."""

    def subset(self, rows: Tensor) -> Images:
        """Images with these rows (int64 `[B]`) only, in this order."""

    def digest(self) -> str:
        """A hash of the content, in hexadecimal; each class says what it covers."""


class MemoryImages:
    """Images held as one tensor.

    Args:
        pixels: `[N, C, H, W]`, uint8 in 0..255 or float32 in 0..1.

    Raises:
        DataError: if the shape or type is another, or a float value is NaN, infinite or outside 0..1.

    >>> len(MemoryImages(torch.zeros(5, 3, 8, 8)))
    5
    """

    def __init__(self, pixels: Tensor) -> None:
        if pixels.dim() != 4 or 0 in pixels.shape[1:]:
            raise DataError(
                f"images have shape {tuple(pixels.shape)}; expected [N, C, H, W] with C, H, W of at least 1",
                code="wrong_shape",
                path="pixels",
            )
        if pixels.dtype not in (torch.uint8, torch.float32):
            raise DataError(
                f"images have type {pixels.dtype}; expected torch.uint8 in 0..255 or torch.float32 in 0..1",
                code="wrong_type",
                path="pixels",
            )
        if pixels.is_floating_point():
            check_range(pixels)
        self.pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: Tensor) -> Tensor:
        """The images of these rows, `[B, C, H, W]`, copied."""
        return self.pixels.index_select(0, rows.to(self.pixels.device))

    def subset(self, rows: Tensor) -> MemoryImages:
        """These rows only, copied."""
        return MemoryImages(self.take(rows))

    def digest(self) -> str:
        """SHA-256 over type, shape and every value."""
        pixels = self.pixels.cpu().contiguous()
        digest = hashlib.sha256(f"{pixels.dtype} {tuple(pixels.shape)} ".encode())
        digest.update(pixels.numpy().data)
        return digest.hexdigest()


def check_range(pixels: Tensor, first: int = 0) -> None:
    """Refuse float images that hold NaN, infinity or values outside 0..1.

    Args:
        pixels: `[N, C, H, W]`.
        first: the number of the first row, for the message.

    Raises:
        DataError: with the number of the first such row and what it holds.
    """
    if not len(pixels):
        return
    flat = pixels.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    for row in (~((low >= 0) & (high <= 1))).nonzero().flatten().tolist():
        if not flat[row].isfinite().all():
            raise DataError(
                f"image {first + row} holds NaN or infinity; expected numbers in 0..1: mend or drop this row",
                code="not_finite",
                path=f"image {first + row}",
            )
        raise DataError(
            f"image {first + row} holds values from {low[row]:.4g} to {high[row]:.4g}; expected 0..1: "
            "scale the images, and leave normalization to the model",
            code="out_of_range",
            path=f"image {first + row}",
        )
