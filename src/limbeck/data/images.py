"""A set of labelled images, whose pixels lie in memory or are read when they are asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from limbeck.data.labelled import UNKNOWN, Labelled, check_labels
from limbeck.errors import DataError

__all__ = ["UNKNOWN", "ImageSet", "Images", "MemoryImages"]


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
                f"images have shape {tuple(pixels.shape)}; expected [N, C, H, W] with C, H, W of at least 1"
            )
        if pixels.dtype not in (torch.uint8, torch.float32):
            raise DataError(f"images have type {pixels.dtype}; expected torch.uint8 in 0..255 or torch.float32 in 0..1")
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
                f"image {first + row} holds NaN or infinity; expected numbers in 0..1: mend or drop this row"
            )
        raise DataError(
            f"image {first + row} holds values from {low[row]:.4g} to {high[row]:.4g}; expected 0..1: "
            "scale the images, and leave normalization to the model"
        )


@dataclass(frozen=True, eq=False)
class ImageSet(Labelled):
    """Images, what they show, and where each came from.

    Args:
        images: N images.
        target: int64 `[N]`, the class of each in 0..K-1, or -100 where it is not known.
        index: int64 `[N]`, the stable number of each row in its source; no number twice.
        classes: the names of the K classes.

    Raises:
        DataError: if lengths or types disagree, a target is out of range, a number is there twice, or K < 2.

    >>> data = ImageSet.from_tensor(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), ("cat", "dog"))
    >>> len(data), data.shape
    (4, (1, 8, 8))
    """

    images: Images
    target: Tensor
    index: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        check_labels("image", len(self.images), self.target, self.index, self.classes)

    @classmethod
    def from_tensor(cls, pixels: Tensor, target: Tensor, classes: tuple[str, ...], *, start: int = 0) -> ImageSet:
        """A set in memory whose rows are numbered from start.

        Args:
            pixels: `[N, C, H, W]`, uint8 in 0..255 or float32 in 0..1.
            target: int64 `[N]`.
            classes: the names of the classes.
            start: the number of the first row.
        """
        return cls(MemoryImages(pixels), target, torch.arange(start, start + len(pixels)), classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.images.shape

    def subset(self, rows: Tensor) -> ImageSet:
        """The set with these rows (int64 `[B]`) only, in this order; each keeps its index."""
        return ImageSet(self.images.subset(rows), self.target[rows], self.index[rows], self.classes)

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over targets, index, class names and the digest of the images."""
        digest = hashlib.sha256(repr((len(self), self.shape, self.classes)).encode())
        for column in (self.target, self.index):
            digest.update(column.cpu().contiguous().numpy().tobytes())
        digest.update(self.images.digest().encode())
        return digest.hexdigest()
