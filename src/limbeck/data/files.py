"""Images that stay in their files until a batch asks for them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from limbeck.export.predictors.image_files import fit_image, unreadable

__all__ = ["FileImages"]

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
                raise unreadable(self.folder / name, error) from error
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
                raise unreadable(self.folder / name, error) from error

    def _decode(self, file: Path) -> Tensor:
        return torch.from_numpy(fit_image(file, self.mode, (self.size, self.size)))
