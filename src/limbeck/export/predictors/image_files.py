"""Image files as arrays, in training and in predictions: by Pillow and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["convert", "fit_image", "read_image", "to_array", "unreadable"]

_modes = {1: "L", 3: "RGB"}


def read_image(file: Path, channels: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """An image file as a model takes it: float32 ``[C, H, W]`` in 0..1, as `fit_image` brings it to the size.

    Args:
        file: of any format that Pillow reads.
        channels: 1 for grey, 3 for colour.
        size: height and width.

    Raises:
        DataError: if the file is not an image, or channels is neither 1 nor 3.
    """
    if channels not in _modes:
        raise DataError.at(file, f"the model takes {channels} channels; an image file has 1 or 3", code="unsupported")
    return fit_image(file, _modes[channels], size).astype(np.float32) / np.float32(255)


def fit_image(file: Path, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image file cropped in the middle to the ratio of a size and scaled to it: uint8 ``[C, H, W]``.

    Args:
        file: of any format that Pillow reads.
        mode: Pillow's name for grey ("L") or colour ("RGB").
        size: height and width.

    Raises:
        DataError: if the file is not an image.
    """
    # Pillow takes a while to import.
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            fitted = ImageOps.fit(convert(image, mode), size[::-1], Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise unreadable(file, error) from error
    return to_array(fitted)


def convert(image: PILImage, mode: str) -> PILImage:
    """A Pillow image in grey ("L") or colour ("RGB").

    Raises:
        ValueError: if it has more than 8 bits per value, which Pillow would silently clip at 255.
    """
    if image.mode[0] in "IF":
        raise ValueError(f"its mode {image.mode} has more than 8 bits per value; expected 8")
    return image.convert(mode)


def to_array(image: PILImage) -> NDArray[np.uint8]:
    """A Pillow image of 8 bits per value as uint8 ``[C, H, W]``."""
    values = np.array(image, dtype=np.uint8)
    return np.ascontiguousarray(values.reshape(*values.shape[:2], -1).transpose(2, 0, 1))


def unreadable(file: Path, error: Exception) -> DataError:
    """The error for a file that is not an image."""
    return DataError.at(file, f"cannot be read as an image: {error}; mend or remove it", code="unreadable")
