"""A set of labelled images, whose pixels lie in memory or are read when they are asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from limbeck.data.strata import choose
from limbeck.errors import ArgumentError, DataError

__all__ = ["UNKNOWN", "ImageSet", "Images", "MemoryImages"]

UNKNOWN = -100
"""The target of a row whose label is not known; torch's cross-entropy ignores it by default."""


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
class ImageSet:
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
        for name, column in (("target", self.target), ("index", self.index)):
            if column.dtype != torch.int64 or column.shape != (len(self.images),):
                raise DataError(
                    f"{name} has type {column.dtype} and shape {tuple(column.shape)}; "
                    f"expected torch.int64 of shape ({len(self.images)},), one number per image"
                )
        if len(self.classes) < 2:
            raise DataError(f"the data has {len(self.classes)} class(es), {self.classes}; expected at least 2")
        if len(set(self.classes)) < len(self.classes):
            raise DataError(f"the class names {self.classes} hold a name twice; expected each once")
        wrong = ((self.target != UNKNOWN) & ((self.target < 0) | (self.target >= len(self.classes)))).nonzero()
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"row {row} has target {int(self.target[row])}; expected 0..{len(self.classes) - 1}, or {UNKNOWN} "
                "where the class is not known"
            )
        if len(torch.unique(self.index)) < len(self.index):
            raise DataError("index holds a number twice; expected one number per row of the source")

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

    def __len__(self) -> int:
        return len(self.target)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.images.shape

    @property
    def labelled(self) -> Tensor:
        """Bool `[N]`: the rows whose class is known."""
        return self.target != UNKNOWN

    def subset(self, rows: Tensor) -> ImageSet:
        """The set with these rows (int64 `[B]`) only, in this order; each keeps its index."""
        return ImageSet(self.images.subset(rows), self.target[rows], self.index[rows], self.classes)

    def with_labels(self, count: int, seed: int) -> tuple[ImageSet, Tensor]:
        """The set with count labels kept, every class in proportion, and all other targets -100.

        Args:
            count: how many labels to keep.
            seed: decides which.

        Returns:
            The set, and bool `[N]`: the rows that keep their label.

        Raises:
            ArgumentError: if count is larger than the number of labelled rows or smaller than that of classes.
        """
        known = self.labelled.nonzero().squeeze(1)
        if not len(self.classes) <= count <= len(known):
            raise ArgumentError(
                f"cannot keep {count} labels of {len(known)} labelled rows in {len(self.classes)} classes: "
                f"expected a number from {len(self.classes)} (one per class) to {len(known)}"
            )
        kept = torch.zeros(len(self), dtype=torch.bool)
        kept[known[choose(self.target[known], count, seed)]] = True
        return replace(self, target=self.target.masked_fill(~kept, UNKNOWN)), kept

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over targets, index, class names and the digest of the images."""
        digest = hashlib.sha256(repr((len(self), self.shape, self.classes)).encode())
        for column in (self.target, self.index):
            digest.update(column.cpu().contiguous().numpy().tobytes())
        digest.update(self.images.digest().encode())
        return digest.hexdigest()
