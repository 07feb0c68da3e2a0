"""Images: a row is an image, in memory or in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from limbeck.data.concat import concat_images
from limbeck.data.files import FileImages
from limbeck.data.from_records import UnfittedFields
from limbeck.data.labels.label_type import FloatTarget, LabelSpace, LabelType
from limbeck.data.pixels import Images, MemoryImages
from limbeck.data.readers.reader import Record, check_utf8
from limbeck.data.row_errors import cell, kind_of
from limbeck.data.rows.row_set import LabelledRows, check_labels, unknown_target
from limbeck.errors import ArgumentError, DataError
from limbeck.registry import register

__all__ = ["ImageFields", "ImageSet", "check_size", "held_images"]


@register("rows", "images")
@dataclass(frozen=True, kw_only=True)
class ImageFields(UnfittedFields):
    """Which column of a record names an image file, and how the file is read.

    Images are converted, cut in the middle to a square and scaled.

    Args:
        size: height and width to scale to, in pixels.
        image: the column with the name of the file.
        folder: the folder that these names are relative to.
        mode: Pillow's name for grey ("L") or colour ("RGB").
        memory: bytes of decoded images to hold in memory; a set that takes more is decoded batch by batch.

    Raises:
        ArgumentError: if size is below 1 or memory negative.
    """

    size: int
    image: str = "image"
    folder: str = "."
    mode: Literal["RGB", "L"] = "RGB"
    memory: int = 2**30

    def __post_init__(self) -> None:
        check_size(self.size, self.memory)

    def read(self, record: Record, labels: LabelType) -> str:
        name = cell(record, self.image)
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"the column {self.image!r} holds {kind_of(name)}, not the name of a file")
        check_utf8(name, f"the column {self.image!r}")
        if not Path(self.folder, name).is_file():
            raise ValueError(f"no file {Path(self.folder, name)}")
        return name

    def build(
        self, rows: Sequence[str], target: Any, space: LabelSpace, *, index: Tensor, skipped: tuple[str, ...]
    ) -> ImageSet:
        files = FileImages(Path(self.folder), rows, size=self.size, mode=self.mode)
        images = held_images(files, self.memory)
        return ImageSet(images, torch.from_numpy(target), index, space.classes, space.targets, skipped)


@dataclass(frozen=True, eq=False)
class ImageSet(LabelledRows):
    """Images, their labels, and the number of each in its source.

    Args:
        images: N images.
        target: the class of each in 0..K-1, int64 `[N]`; or a 0 or 1 for each class, int64 `[N, K]`; -100 where it is
            not known; or numbers, float32 `[N]` or `[N, K]`, NaN where one is not known.
        index: int64 `[N]`, the stable number of each row in its source; no number twice.
        classes: the names of the K classes; none where targets are numbers.
        targets: the names and units of these numbers.
        skipped: which rows of the source were left out, in words.

    Raises:
        DataError: if lengths or types disagree, a target is out of range, a number is there twice, or K < 2.

    >>> data = ImageSet.from_tensor(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), ("cat", "dog"))
    >>> len(data), data.shape
    (4, (1, 8, 8))
    """

    kind: ClassVar = "images"
    fields: ClassVar = ImageFields

    images: Images
    target: Tensor
    index: Tensor
    classes: tuple[str, ...]
    targets: tuple[FloatTarget, ...] = ()
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_labels("image", len(self.images), self.target, self.index, self.classes, self.targets)

    @classmethod
    def from_tensor(
        cls,
        pixels: Tensor,
        target: Tensor,
        classes: tuple[str, ...] = (),
        *,
        targets: tuple[FloatTarget, ...] = (),
        start: int = 0,
    ) -> ImageSet:
        """A set in memory whose rows are numbered from start.

        Args:
            pixels: `[N, C, H, W]`, uint8 in 0..255 or float32 in 0..1.
            target: as a set has it.
            classes: the names of the classes.
            targets: the names and units of float targets.
            start: the number of the first row.
        """
        return cls(MemoryImages(pixels), target, torch.arange(start, start + len(pixels)), classes, targets)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.images.shape

    def subset(self, rows: Tensor) -> Self:
        """The set with these rows (int64 `[B]`) only, in this order; each keeps its index."""
        images = self.images.subset(rows)
        return replace(self, images=images, target=self.target[rows], index=self.index[rows], skipped=())

    def with_unlabelled(self, others: ImageSet) -> ImageSet:
        """These rows, then those of others, whose targets are not known and whose index goes on.

        Args:
            others: rows of a second source. Its labels and classes, if it has any, are not used.

        Raises:
            DataError: if the images have other shapes.

        >>> first = ImageSet.from_tensor(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), ("cat", "dog"))
        >>> second = ImageSet.from_tensor(torch.ones(3, 1, 4, 4), torch.tensor([0, 0, 1]), ("a", "b"))
        >>> first.with_unlabelled(second).target.tolist()
        [0, 1, -100, -100, -100]
        """
        if self.shape != others.shape:
            raise DataError(
                f"unlabelled images have shape {others.shape}, the labelled ones {self.shape}; bring them to the same "
                "channels, height and width",
                code="mismatch",
                path="unlabelled",
            )
        start = int(self.index.max()) + 1 if len(self) else 0
        return ImageSet(
            concat_images([self.images, others.images]),
            torch.cat([self.target, unknown_target(self.target, len(others))]),
            torch.cat([self.index, torch.arange(start, start + len(others))]),
            self.classes,
            self.targets,
        )

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, over targets, index, names of classes and targets, and the digest of the images."""
        named = (self.classes, self.targets) if self.targets else (self.classes,)
        digest = hashlib.sha256(repr((len(self), self.shape, *named)).encode())
        for column in (self.target, self.index):
            digest.update(column.cpu().contiguous().numpy().tobytes())
        digest.update(self.images.digest().encode())
        return digest.hexdigest()


def check_size(size: int, memory: int) -> None:
    """Refuse a size of images, or an amount of memory for them, that cannot be.

    Raises:
        ArgumentError: if size is below 1 or memory negative.
    """
    if size < 1 or memory < 0:
        raise ArgumentError(
            f"size is {size} and memory is {memory}; expected at least 1 pixel and at least 0 bytes",
            path="size" if size < 1 else "memory",
        )


def held_images(files: FileImages, memory: int) -> Images:
    """The images of these files in memory, if they take no more bytes than that; otherwise the files.

    Raises:
        DataError: if a file is no image.
    """
    channels, height, width = files.shape
    if len(files) * channels * height * width > memory:
        files.check_headers()
        return files
    return MemoryImages(files.take(torch.arange(len(files))))
