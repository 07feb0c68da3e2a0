"""Images and labels in the IDX format of MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.data.labels.arrays import class_names, class_numbers
from limbeck.data.rows.images import ImageSet
from limbeck.errors import ArgumentError, DataError
from limbeck.registry import register

__all__ = ["Idx", "read_idx"]

_NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
_UNSIGNED_BYTE = 0x08


@register("source", "idx")
class Idx:
    """Grey images in IDX files, gzipped or not, as [N, 1, H, W]; the classes are the distinct training labels.

    Args:
        folder: holds the files under their usual names (`train-images-idx3-ubyte` or the same with `.gz`, and so on);
            the test files may be absent.
        train_images: this file instead of the folder's.
        train_labels: this file instead of the folder's.
        test_images: this file instead of the folder's.
        test_labels: this file instead of the folder's.

    Raises:
        ArgumentError: if neither a folder nor the two training files are given.

    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition",
    doi:10.1109/5.726791. Xiao, Rasul and Vollgraf (2017), "Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms", arXiv:1708.07747.
    """

    row_type: ClassVar = ImageSet

    def __init__(
        self,
        *,
        folder: str | None = None,
        train_images: str | None = None,
        train_labels: str | None = None,
        test_images: str | None = None,
        test_labels: str | None = None,
    ) -> None:
        if folder is None and (train_images is None or train_labels is None):
            raise ArgumentError(
                "idx has neither folder nor train_images and train_labels; give one or the other",
                code="missing",
                path="folder",
            )
        given = {
            "train_images": train_images,
            "train_labels": train_labels,
            "test_images": test_images,
            "test_labels": test_labels,
        }
        self._folder = folder
        self._given = {part: Path(file) for part, file in given.items() if file is not None}

    def load(self) -> Mapping[str, ImageSet]:
        """The rows under "train", and under "test" where there are test files.

        Raises:
            DataError: if a file is missing or corrupt, or images and labels differ in number.
        """
        images, labels = self._pair("train")
        classes = class_names(labels)
        sets = {"train": _image_set(images, labels, classes, "training labels", 0)}
        if self._file("test_images") or self._file("test_labels"):
            sets["test"] = _image_set(*self._pair("test"), classes, "test labels", len(images))
        return sets

    def _pair(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        files = [self._required(f"{name}_images"), self._required(f"{name}_labels")]
        images, labels = read_idx(files[0], 3), read_idx(files[1], 1)
        if len(images) != len(labels):
            raise DataError(
                f"{files[0]} holds {len(images)} images, {files[1]} {len(labels)} labels; expected as many",
                code="mismatch",
                path=files[0],
            )
        return images, labels

    def _required(self, part: str) -> Path:
        file = self._file(part)
        if file is None:
            missing = Path(self._folder, _NAMES[part]) if self._folder is not None else part
            raise DataError.at(
                missing,
                f"not found, nor with .gz; expected the {part.replace('_', ' ')} in IDX format",
                code="not_found",
            )
        return file

    def _file(self, part: str) -> Path | None:
        if part in self._given:
            return self._given[part]
        if self._folder is None:
            return None
        candidates = (Path(self._folder, _NAMES[part] + suffix) for suffix in ("", ".gz"))
        return next(filter(Path.is_file, candidates), None)


def read_idx(file: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file, gzipped or not.

    Args:
        file: where it is.
        dimensions: how many the array must have.

    Raises:
        DataError: if the file is missing, corrupt, of another type, or shorter or longer than its header says.
    """
    content = _content(file)
    size = 4 + 4 * dimensions
    magic = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if content[:4] != magic or len(content) < size:
        raise DataError.at(
            file,
            f"starts with {content[:4].hex(' ')} and has {len(content)} bytes; expected an IDX header, "
            f"{magic.hex(' ')} and {dimensions} size(s) of 4 bytes (unsigned bytes in {dimensions} dimension(s))",
            code="unreadable",
        )
    shape = struct.unpack(f">{dimensions}I", content[4:size])
    expected = size + math.prod(shape)
    if len(content) != expected:
        raise DataError.at(
            file,
            f"has {len(content)} bytes; expected {expected}, as its header says {shape}: fetch it again",
            code="damaged",
        )
    return np.frombuffer(bytearray(content), dtype=np.uint8, offset=size).reshape(shape)


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError as error:
        raise DataError.at(file, "not found; expected an IDX file", code="not_found") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError.at(file, f"cannot be read: {error}; fetch it again", code="unreadable") from error


def _image_set(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], classes: tuple[str, ...], origin: str, start: int
) -> ImageSet:
    pixels = torch.from_numpy(images).unsqueeze(1)
    return ImageSet.from_tensor(pixels, class_numbers(labels, classes, origin=origin), classes, start=start)
