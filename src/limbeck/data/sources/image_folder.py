"""A folder with one sub-folder of image files per class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import torch

from limbeck.data.files import FileImages
from limbeck.data.rows.images import ImageSet, check_size, held_images
from limbeck.errors import DataError
from limbeck.registry import register

__all__ = ["ImageFolder"]

_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))


@register("source", "image_folder")
class ImageFolder:
    """One sub-folder per class, in alphabetical order; or `train` and, optionally, `val` and `test` that hold those.

    Files in a class's folder count if their name ends like an image's (.jpg, .png, …) and does not start with a dot.
    Images are converted, cut in the middle to a square and scaled. Of `train`, `val` and `test`, the sets are "train",
    "validation" and "test"; with `val` and no `test`, `val` is the test set.

    Args:
        folder: where it is.
        size: height and width to scale to, in pixels.
        mode: Pillow's name for grey ("L") or colour ("RGB").
        memory: bytes of decoded images to hold in memory; a set that takes more is decoded batch by batch.

    Raises:
        ArgumentError: if size is below 1 or memory negative.
    """

    row_type: ClassVar = ImageSet

    def __init__(self, *, folder: str, size: int, mode: Literal["RGB", "L"] = "RGB", memory: int = 2**30) -> None:
        check_size(size, memory)
        self._folder = Path(folder)
        self._size = size
        self._mode = mode
        self._memory = memory

    def load(self) -> Mapping[str, ImageSet]:
        """The rows under "train" and, where there are such folders, "validation" and "test".

        Raises:
            DataError: if a folder is missing or empty, the splits have other classes, or a file is no image.
        """
        parts = self._parts()
        classes = _subfolders(parts["train"])
        sets: dict[str, ImageSet] = {}
        start = 0
        for name, folder in parts.items():
            if not set(_subfolders(folder)) <= set(classes):
                raise DataError.at(
                    folder, f"has classes {_subfolders(folder)}; expected those of training, {classes}", code="mismatch"
                )
            sets[name] = self._set(folder, classes, start)
            start += len(sets[name])
        return sets

    def _parts(self) -> dict[str, Path]:
        if not self._folder.is_dir():
            raise DataError.at(
                self._folder, "not found; expected a folder with one sub-folder per class", code="not_found"
            )
        names = _subfolders(self._folder)
        # a class may be called "train", so the folder is one of splits only if it holds nothing else
        if "train" not in names or not set(names) <= {"train", "val", "test"}:
            return {"train": self._folder}
        parts = {"train": self._folder / "train"}
        others = [name for name in ("val", "test") if name in names]
        if others:
            parts["test"] = self._folder / others[-1]
        if len(others) == 2:
            parts["validation"] = self._folder / "val"
        return parts

    def _set(self, folder: Path, classes: tuple[str, ...], start: int) -> ImageSet:
        names: list[str] = []
        target: list[int] = []
        for label, name in enumerate(classes):
            files = _image_files(folder / name)
            names += [file.relative_to(folder).as_posix() for file in files]
            target += [label] * len(files)
        images = held_images(FileImages(folder, names, size=self._size, mode=self._mode), self._memory)
        index = torch.arange(start, start + len(names))
        return ImageSet(images, torch.tensor(target, dtype=torch.int64), index, classes)


def _subfolders(folder: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise DataError.at(folder, "has no sub-folders; expected one per class", code="missing")
    return tuple(names)


def _image_files(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [file for file in entries if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")]
    if not files:
        raise DataError.at(
            folder, f"holds no image files; expected names that end in {', '.join(sorted(_SUFFIXES))}", code="missing"
        )
    return files
