"""Images or tables and labels in one NumPy .npz file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.data.labels.arrays import class_names, class_numbers
from limbeck.data.labels.label_type import FloatTarget
from limbeck.data.rows.images import ImageSet
from limbeck.data.rows.tables import TableSet
from limbeck.data.table_columns import Column
from limbeck.errors import DataError
from limbeck.registry import register

__all__ = ["Npz"]

_CHANNELS = (1, 3, 4)
Arrays: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Labels:
    """What the labels of a file are, as the training labels decide."""

    classes: tuple[str, ...] = ()
    targets: tuple[FloatTarget, ...] = ()


@register("source", "npz")
class Npz:
    """Arrays `x` and `y`, or `x_train`, `y_train` and optionally `x_test`, `y_test`, in one file.

    Images are `[N, H, W]`, `[N, H, W, C]` or `[N, C, H, W]`: integers in 0..255, or floats in 0..1, which are kept as
    float32. An x of `[N, F]` is a table of F columns of numbers, NaN where there is no value; an array `columns` may
    hold their names.

    Labels are integers or text, `[N]` or `[N, 1]`, with -100 for unknown; the classes are the distinct training labels
    in rising order. Integers `[N, K]` are a 0 or 1 for each of K classes. Floats `[N]` or `[N, K]` are numbers to
    predict, NaN for unknown. Pickled arrays are refused.

    Args:
        file: where it is.
        layout: which axis of four holds the channels; "auto" takes the one of size 1, 3 or 4.
        unit: the unit of float labels.
    """

    row_type: ClassVar = (ImageSet, TableSet)

    def __init__(self, *, file: str, layout: Literal["auto", "NHWC", "NCHW"] = "auto", unit: str = "") -> None:
        self._file = Path(file)
        self._layout = layout
        self._unit = unit

    def load(self) -> Mapping[str, ImageSet | TableSet]:
        """The rows under "train", and under "test" where the file has them.

        Raises:
            DataError: if the file is missing or corrupt, lacks an array, or holds values that are no rows or labels.
        """
        arrays = self._arrays()
        plain = "x" in arrays or "y" in arrays
        parts = {"train": ("x", "y") if plain else ("x_train", "y_train")}
        if not plain and ("x_test" in arrays or "y_test" in arrays):
            parts["test"] = ("x_test", "y_test")
        for name in sum(parts.values(), ()):
            if name not in arrays:
                raise DataError.at(
                    self._file,
                    f"has no array {name!r}, only {sorted(arrays)}; "
                    "expected x and y, or x_train, y_train, x_test and y_test",
                    code="unknown_name",
                )
        sets: dict[str, ImageSet | TableSet] = {}
        labels = self._kind(self._labels(arrays, parts["train"][1]), parts["train"][1])
        for split, (x, y) in parts.items():
            values, target = arrays[x], self._target(arrays, y, labels)
            if len(values) != len(target):
                raise DataError.at(
                    self._file, f"{x} has {len(values)} rows, {y} has {len(target)}; expected as many", code="mismatch"
                )
            start = len(sets["train"]) if sets else 0
            try:
                sets[split] = self._set(arrays, x, target, labels, start)
            except DataError as error:
                own = str(error).startswith(str(self._file))
                raise error if own else DataError.at(self._file, f"{x}: {error}", code=error.code) from error
        return sets

    def _set(self, arrays: Arrays, name: str, target: Tensor, labels: _Labels, start: int) -> ImageSet | TableSet:
        if arrays[name].ndim != 2:
            pixels = self._pixels(arrays, name)
            return ImageSet.from_tensor(pixels, target, labels.classes, targets=labels.targets, start=start)
        values = arrays[name]
        if values.dtype.kind not in "iuf":
            raise DataError(f"type {values.dtype}; expected numbers, [N, F]", code="wrong_type")
        names = arrays.get("columns", np.array([f"x{number}" for number in range(values.shape[1])]))
        if names.dtype.kind != "U" or names.shape != values.shape[1:] or len(set(names.tolist())) < len(names):
            raise DataError(
                f"columns is {names.tolist()}; expected {values.shape[1]} different names",
                code="duplicate" if names.shape == values.shape[1:] else "wrong_shape",
            )
        return TableSet(
            torch.from_numpy(values.astype(np.float32)),
            torch.empty((len(values), 0), dtype=torch.int64),
            tuple(map(Column, names.tolist())),
            target,
            torch.arange(start, start + len(values)),
            labels.classes,
            labels.targets,
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        if not self._file.is_file():
            raise DataError.at(self._file, "not found; expected a NumPy .npz file", code="not_found")
        try:
            with self._file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (OSError, EOFError, ValueError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError.at(
                self._file, f"cannot be read as .npz without pickle: {error}", code="unreadable"
            ) from error

    def _labels(self, arrays: Arrays, name: str) -> NDArray[Any]:
        labels = arrays[name]
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if (
            labels.dtype.kind not in "iuUf"
            or labels.ndim not in (1, 2)
            or (labels.dtype.kind == "U" and labels.ndim > 1)
        ):
            raise DataError.at(
                self._file,
                f"{name} has type {labels.dtype} and shape {labels.shape}; expected integers or text, "
                "[N], a 0 or 1 for each class, [N, K], or floats",
                code="wrong_shape" if labels.dtype.kind in "iuUf" else "wrong_type",
            )
        return labels

    def _kind(self, labels: NDArray[Any], name: str) -> _Labels:
        several = labels.shape[1] if labels.ndim > 1 else 0
        if labels.dtype.kind == "f":
            names = [f"{name}{number}" for number in range(several)] if several else [name]
            return _Labels(targets=tuple(FloatTarget(one, self._unit) for one in names))
        return _Labels(tuple(map(str, range(several))) if several else class_names(labels))

    def _target(self, arrays: Arrays, name: str, kind: _Labels) -> Tensor:
        labels = self._labels(arrays, name)
        if (labels.dtype.kind == "f") != bool(kind.targets):
            raise DataError.at(
                self._file, f"{name} has type {labels.dtype}; expected the type of the training labels", code="mismatch"
            )
        if kind.targets:
            return torch.from_numpy(labels.astype(np.float32))
        if labels.ndim > 1:
            return torch.from_numpy(labels.astype(np.int64))
        return class_numbers(labels, kind.classes, origin=f"{self._file}: {name}")

    def _pixels(self, arrays: Arrays, name: str) -> Tensor:
        images = arrays[name]
        if images.ndim == 3:
            images = images[:, None]
        elif images.ndim != 4:
            raise DataError.at(
                self._file,
                f"{name} has shape {images.shape}; expected [N, H, W], [N, H, W, C] or [N, C, H, W]",
                code="wrong_shape",
            )
        elif self._channels_last(images.shape, name):
            images = images.transpose(0, 3, 1, 2)
        if images.dtype.kind in "iu":
            if images.size and (images.min() < 0 or images.max() > 255):
                raise DataError.at(
                    self._file,
                    f"{name} holds {images.min()} to {images.max()}; expected integers in 0..255",
                    code="out_of_range",
                )
            return torch.from_numpy(np.ascontiguousarray(images, dtype=np.uint8))
        if images.dtype.kind == "f":
            return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))
        raise DataError.at(
            self._file,
            f"{name} has type {images.dtype}; expected integers in 0..255 or floats in 0..1",
            code="wrong_type",
        )

    def _channels_last(self, shape: tuple[int, ...], name: str) -> bool:
        if self._layout != "auto":
            return self._layout == "NHWC"
        first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
        if first == last:
            raise DataError.at(
                self._file,
                f"{name} has shape {shape}, in which channels may come first or last; say layout: NCHW or layout: NHWC",
                code="missing",
            )
        return last
