"""Images that stay in their files until a batch asks for them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from limbeck.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["FileImages", "convert", "read_image", "to_tensor"]

_CHANNELS = {"L": 1, "RGB": 3}


class FileImages:
    """Image files, decoded by `take`: converted, cut in the middle to a square, scaled to one size.

    Args:
        folder: what the files' names are relative to.
        names: the files.
        size: height and width of the result, in pixels.
        mode: Pillow's name for grey ("L") or colour ("RGB").

    Raises:
        DataError: by `take`, if a file cannot be decoded; it names the file.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, size: int, mode: Literal["L", "RGB"]) -> None:
        self.folder = folder
        self.names = tuple(names)
        self.size = size
        self.mode = mode

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return _CHANNELS[self.mode], self.size, self.size

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Tensor) -> Tensor:
        """The images of these rows, decoded, uint8 `[B, C, H, W]`."""
        images = torch.empty((len(rows), *self.shape), dtype=torch.uint8)
        for at, row in enumerate(rows.tolist()):
            images[at] = self._decode(self.folder / self.names[row])
        return images

    def subset(self, rows: Tensor) -> FileImages:
        """These files only; none is opened."""
        names = [self.names[row] for row in rows.tolist()]
        return FileImages(self.folder, names, size=self.size, mode=self.mode)

    def digest(self) -> str:
        """SHA-256 over size and mode of the result, and each file's relative name, length and bytes; reads every file.

        It does not cover Pillow, whose decoder may differ in the last bit between versions.

        Raises:
            DataError: if a file cannot be read.
        """
        digest = hashlib.sha256(repr((self.size, self.mode)).encode())
        for name in self.names:
            try:
                content = (self.folder / name).read_bytes()
            except OSError as error:
                raise _unreadable(self.folder / name, error) from error
            digest.update(repr((name, len(content), hashlib.sha256(content).hexdigest())).encode())
        return digest.hexdigest()

    def check_headers(self) -> None:
        """Open every file without decoding it.

        Raises:
            DataError: if one is not an image.
        """
        from PIL import Image

        for name in self.names:
            try:
                with Image.open(self.folder / name):
                    pass
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise _unreadable(self.folder / name, error) from error

    def _decode(self, file: Path) -> Tensor:
        return _fitted(file, self.mode, (self.size, self.size))


def read_image(file: Path, channels: int, size: tuple[int, int]) -> Tensor:
    """One image as a model takes it, float32 `[C, H, W]` in 0..1, cut in its middle and brought to the size.

    Raises:
        DataError: if it is no image, or the model takes neither grey nor colour.
    """
    modes = {1: "L", 3: "RGB"}
    if channels not in modes:
        raise DataError(f"{file}: the model takes {channels} channels; an image file has 1 or 3")
    return _fitted(file, modes[channels], size).float() / 255


def _fitted(file: Path, mode: str, size: tuple[int, int]) -> Tensor:
    # Pillow takes a while to import, and only this source needs it
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            fitted = ImageOps.fit(convert(image, mode), size[::-1], Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from error
    return to_tensor(fitted)


def convert(image: PILImage, mode: str) -> PILImage:
    """A Pillow image in grey ("L") or colour ("RGB").

    Raises:
        ValueError: if it has more than 8 bits per value, which Pillow would clip at 255 without a word.
    """
    if image.mode[0] in "IF":
        raise ValueError(f"its mode {image.mode} has more than 8 bits per value; expected 8")
    return image.convert(mode)


def to_tensor(image: PILImage) -> Tensor:
    """A Pillow image of 8 bits per value as uint8 `[C, H, W]`."""
    pixels = np.array(image, dtype=np.uint8)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"{file}: cannot be read as an image: {error}; mend or remove it")
