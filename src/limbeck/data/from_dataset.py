"""A plain torch dataset as an image set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from limbeck.data.labels.label_type import FloatTarget
from limbeck.data.pixels import Images, MemoryImages, check_range
from limbeck.data.rows.images import ImageSet
from limbeck.errors import ArgumentError, DataError
from limbeck.export.predictors.image_files import convert, to_array

__all__ = ["DatasetImages", "from_dataset"]


def from_dataset(
    train: Dataset[Any], test: Dataset[Any] | None = None, *, classes: Sequence[str] | None = None, memory: int = 2**30
) -> Mapping[str, ImageSet]:
    """The row sets of map-style datasets whose items are (image, label).

    Every item is read once. An image is a tensor `[C, H, W]` or `[H, W]`, uint8 in 0..255 or floats in 0..1, or a
    Pillow image; leave random changes and normalization out of the dataset, as `Augment` and the model do these.

    Args:
        train: has a length and items by number. Labels are 0..K-1, or -100 where unknown; or floats, or vectors of K
            floats, NaN where unknown.
        test: the same for the test set, if there is one.
        classes: the names of the K classes; if None, those of `train.classes`, or else the numbers. Names of the
            numbers to predict where labels are floats.
        memory: bytes of images to hold in memory; a set that takes more is asked for its items batch by batch.

    Raises:
        ArgumentError: if a dataset has no length or no items by number.
        DataError: if an item is no such pair, or images differ in shape or type.

    >>> from torch.utils.data import TensorDataset
    >>> data = from_dataset(TensorDataset(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 1, 0])))["train"]
    >>> data.shape, data.classes
    ((1, 8, 8), ('0', '1'))
    """
    images, target = _read(train, memory, "train")
    if classes is None:
        classes = getattr(train, "classes", None) or _numbered(target)
    names = tuple(map(str, classes))
    targets = tuple(map(FloatTarget, names)) if target.is_floating_point() else ()
    named: dict[str, Any] = {"classes": () if targets else names, "targets": targets}
    sets = {"train": ImageSet(images, target, torch.arange(len(images)), **named)}
    if test is not None:
        images, target = _read(test, memory, "test")
        start = len(sets["train"])
        sets["test"] = ImageSet(images, target, torch.arange(start, start + len(images)), **named)
    return sets


def _numbered(target: Tensor) -> list[str]:
    if target.is_floating_point():
        return ["label"] if target.ndim == 1 else [f"label {number}" for number in range(target.shape[1])]
    return [str(label) for label in range(int(target.max()) + 1)]


class DatasetImages:
    """Images that a dataset makes when they are asked for.

    Args:
        dataset: its items are (image, label).
        rows: int64 `[N]`, which items.
        shape: channels, height and width of each image.
        digests: for each of the N, a hash of its values when it was first read.
    """

    def __init__(
        self, dataset: Dataset[Any], rows: Tensor, shape: tuple[int, int, int], digests: Sequence[bytes]
    ) -> None:
        self.dataset = dataset
        self.rows = rows
        self.shape = shape
        self.digests = tuple(digests)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Tensor) -> Tensor:
        """The images of these rows, `[B, C, H, W]`."""
        images = []
        for row in self.rows[rows].tolist():
            image, _ = _item(self.dataset, row, "dataset")
            if image.shape != self.shape:
                raise DataError(
                    f"dataset item {row} has shape {tuple(image.shape)}; expected {self.shape} like the first",
                    code="wrong_shape",
                    path=f"dataset item {row}",
                )
            images.append(image)
        return torch.stack(images)

    def subset(self, rows: Tensor) -> DatasetImages:
        """These rows only; no item is made."""
        digests = [self.digests[row] for row in rows.tolist()]
        return DatasetImages(self.dataset, self.rows[rows], self.shape, digests)

    def digest(self) -> str:
        """SHA-256 over shape, type and values of every image, as they were when the dataset was first read."""
        return hashlib.sha256(repr(self.shape).encode() + b"".join(self.digests)).hexdigest()


def _read(dataset: Dataset[Any], memory: int, name: str) -> tuple[Images, Tensor]:
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise ArgumentError(
            f"the {name} dataset {type(dataset).__name__} has no length or no items by number; expected both",
            code="unsupported",
            path=name,
        )
    count = len(dataset)
    if not count:
        raise DataError(f"the {name} dataset is empty; expected (image, label) pairs", code="missing", path=name)
    first, label = _item(dataset, 0, name)
    held = count * first.numel() * first.element_size() <= memory
    pixels = torch.empty((count, *first.shape), dtype=first.dtype) if held else None
    target = torch.empty((count, *label.shape), dtype=label.dtype)
    digests = []
    for row in range(count):
        image, label = _item(dataset, row, name)
        if label.shape != target.shape[1:] or label.dtype != target.dtype:
            raise DataError(
                f"{name} item {row} has a label of type {label.dtype} and shape {tuple(label.shape)}; expected "
                f"{target.dtype} and {tuple(target.shape[1:])} like the first",
                code="mismatch",
                path=f"{name} item {row}",
            )
        target[row] = label
        if image.shape != first.shape or image.dtype != first.dtype:
            raise DataError(
                f"{name} item {row} has shape {tuple(image.shape)} and type {image.dtype}; "
                f"expected {tuple(first.shape)} and {first.dtype} like the first: resize and convert in the dataset",
                code="mismatch",
                path=f"{name} item {row}",
            )
        if pixels is not None:
            pixels[row] = image
        else:
            digests.append(hashlib.sha256(image.contiguous().numpy().data).digest())
    if pixels is not None:
        return MemoryImages(pixels), target
    channels, height, width = first.shape
    return DatasetImages(dataset, torch.arange(count), (channels, height, width), digests), target


def _item(dataset: Dataset[Any], row: int, name: str) -> tuple[Tensor, Tensor]:
    item = dataset[row]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(
            f"{name} item {row} is a {type(item).__name__}; expected a pair (image, label)",
            code="wrong_type",
            path=f"{name} item {row}",
        )
    image, label = item
    return _tensor(image, row, name), _label(label, row, name)


def _label(label: Any, row: int, name: str) -> Tensor:
    if isinstance(label, Tensor | np.generic) and np.ndim(label) == 0:
        label = label.item()
    if isinstance(label, int):
        return torch.tensor(int(label))
    if isinstance(label, float):
        return torch.tensor(label, dtype=torch.float32)
    vector = torch.as_tensor(label) if isinstance(label, Tensor | np.ndarray) else None
    if vector is None or vector.ndim != 1 or not vector.is_floating_point():
        raise DataError(
            f"{name} item {row} has the label {label!r}; expected one integer, a float or a vector of floats",
            code="wrong_type",
            path=f"{name} item {row}",
        )
    return vector.float()


def _tensor(image: Any, row: int, name: str) -> Tensor:
    if isinstance(image, Tensor):
        pixels = image.detach()
        pixels = pixels.unsqueeze(0) if pixels.dim() == 2 else pixels
    elif hasattr(image, "convert"):
        try:
            pixels = torch.from_numpy(to_array(convert(image, "L" if image.mode in ("1", "L") else "RGB")))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{name} item {row} has an image that cannot be read: {error}",
                code="unreadable",
                path=f"{name} item {row}",
            ) from error
    else:
        raise DataError(
            f"{name} item {row} has an image of type {type(image).__name__}; expected a tensor or a Pillow image",
            code="wrong_type",
            path=f"{name} item {row}",
        )
    if pixels.dim() != 3 or not pixels.numel() or pixels.dtype not in (torch.uint8, torch.float32):
        raise DataError(
            f"{name} item {row} has an image of shape {tuple(pixels.shape)} and type {pixels.dtype}; "
            "expected [C, H, W] or [H, W], torch.uint8 in 0..255 or torch.float32 in 0..1",
            code="wrong_type" if pixels.ndim in (2, 3) else "wrong_shape",
            path=f"{name} item {row}",
        )
    if pixels.is_floating_point():
        check_range(pixels.unsqueeze(0), row)
    return pixels
