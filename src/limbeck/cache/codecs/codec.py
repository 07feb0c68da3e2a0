"""What a codec is: how one named output of a teacher becomes bytes of a fixed number, and back."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from limbeck.errors import ArgumentError, suggest
from limbeck.functional import SparseLogits
from limbeck.registry import lookup, names

__all__ = ["Bytes", "Codec", "Encoded", "Shape", "codec_of", "row_values", "section_of"]

Shape = tuple[int, ...]
Bytes = NDArray[np.uint8]

# By how an annotation is written.
_numbers: dict[str, Any] = {"int": int, "float": (int, float)}


class Encoded(NamedTuple):
    """The entries of one batch or of one shard, and what was measured on the way.

    Args:
        rows: `[n, …]`.
        error: the largest error; see the codec for its unit.
        mass: the mean of the teacher's probability on the classes that were kept; NaN where all were.
        head: what all entries of a shard share.
    """

    rows: NDArray[Any]
    error: float
    mass: float = math.nan
    head: bytes = b""


class Codec(ABC):
    """One way to write outputs. Subclasses are dataclasses, and what they hold is what a recipe may set.

    Entries are encoded batch by batch as the teacher gives them, and sealed when the shard is full.
    """

    promise: ClassVar[str]

    def __post_init__(self) -> None:
        name = next((name for name in names("codec") if lookup("codec", name) is type(self)), type(self).__name__)
        _check_numbers(name, type(self), {field.name: getattr(self, field.name) for field in dataclasses.fields(self)})  # type: ignore[arg-type]

    @abstractmethod
    def record_bytes(self, shape: Shape) -> int:
        """Bytes of one entry of this shape."""

    def head_bytes(self, shape: Shape) -> int:
        """Bytes that the entries of a shard share."""
        return 0

    def check(self, shape: Shape) -> None:  # noqa: B027  # a hook: most codecs hold every shape
        """Refuse outputs of a shape that this codec cannot hold."""

    @abstractmethod
    def encode(self, values: Tensor, first: int) -> Encoded:
        """A batch, `[n, *shape]`, as it is stored; its first row is this entry of the cache."""

    def seal(self, rows: NDArray[Any], shape: Shape) -> Encoded:
        """The records of a shard, uint8 `[n, record_bytes]`, from the rows of all its batches."""
        return Encoded(rows, 0.0)

    @abstractmethod
    def decode(self, records: Bytes, heads: Bytes, shard: NDArray[np.int64], shape: Shape) -> Tensor | SparseLogits:
        """The entries of some records.

        Args:
            records: `[n, record_bytes]`.
            heads: `[s, head_bytes]`, those of the shards that the records come from.
            shard: for each record, which of the heads is its own.
            shape: of one entry.

        Returns:
            A tensor `[n, *shape]`, or `SparseLogits` `[n, *shape[:-1]]`.
        """

    @abstractmethod
    def errors(self, found: Tensor | SparseLogits, live: Tensor) -> Tensor:
        """The largest error of each entry that was read, `[n]`, given what the teacher says now, `[n, *shape]`."""


def codec_of(section: Mapping[str, Any]) -> Codec:
    """The codec that a section names: ``{"use": "topk", "k": 32}``.

    Raises:
        ArgumentError: if there is no such codec, it has no such setting, or a number is of another kind.
    """
    settings = dict(section)
    name = settings.pop("use", None)
    if not isinstance(name, str):
        raise ArgumentError(
            f"codec {dict(section)}: it needs 'use', one of {', '.join(names('codec'))}", code="missing", path="use"
        )
    entry = lookup("codec", name)
    known = {field.name: field.type for field in dataclasses.fields(entry)}
    for setting in settings:
        if setting not in known:
            raise ArgumentError(
                f"codec {name}: it has no setting {setting!r}.{suggest(setting, known)}",
                code="unknown_name",
                path=setting,
            )
    _check_numbers(name, entry, settings)
    codec = entry(**settings)
    assert isinstance(codec, Codec)
    return codec


def _check_numbers(name: str, codec: Any, settings: Mapping[str, Any]) -> None:
    types = {field.name: str(field.type) for field in dataclasses.fields(codec)}
    for setting, value in settings.items():
        kind = _numbers.get(types[setting], object)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not object):
            raise ArgumentError(
                f"codec {name}: {setting} is {value!r}, expected {types[setting]}", code="wrong_type", path=setting
            )


def section_of(codec: Codec) -> dict[str, Any]:
    """The section that gives this codec again, with all settings written out.

    >>> section_of(codec_of({"use": "float16"}))
    {'use': 'float16'}
    """
    name = next(name for name in names("codec") if lookup("codec", name) is type(codec))
    settings = {field.name: (field.type, getattr(codec, field.name)) for field in dataclasses.fields(codec)}  # type: ignore[arg-type]
    # A whole number may be given for a float, and 2 is written otherwise than 2.0.
    return {"use": name, **{key: float(value) if kind == "float" else value for key, (kind, value) in settings.items()}}


def row_values(values: Tensor) -> Tensor:
    """The values of each row in one axis, `[N, K]`: K is 1 where a row is one number.

    >>> import torch
    >>> row_values(torch.zeros(3)).shape, row_values(torch.zeros(3, 2, 4)).shape
    (torch.Size([3, 1]), torch.Size([3, 8]))
    """
    return values.flatten(1) if values.ndim > 1 else values.unsqueeze(1)
