"""Features as one byte a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.cache.codecs.codec import Bytes, Codec, Encoded, Shape, row_values
from limbeck.errors import ArgumentError, CacheError
from limbeck.functional import SparseLogits
from limbeck.registry import register

__all__ = ["Int8"]

_LEVELS = 255


@register("codec", "int8")
@dataclass(frozen=True, kw_only=True)
class Int8(Codec):
    """One of 256 levels, evenly from the least to the largest value of a channel in the shard.

    x ≈ l + s b, with a byte b, l the least value and s = (largest − l) / 255. Both are stored for each channel of each
    shard, so that no shard depends on another.

    Args:
        axis: the axis of an entry that holds the channels: 0 for `[C]` and `[C, H, W]`, -1 for `[T, C]`.

    >>> Int8().record_bytes((64, 7, 7)), Int8().head_bytes((64, 7, 7))
    (3136, 512)
    """

    axis: int = 0

    promise = "within half a level, (largest - least) / 510 of the channel in its shard; the error is of a value"

    def check(self, shape: Shape) -> None:
        if not -len(shape) <= self.axis < len(shape):
            raise ArgumentError(
                f"int8: axis is {self.axis}, and an entry has shape {list(shape)}; name one of its axes", path="axis"
            )

    def record_bytes(self, shape: Shape) -> int:
        return math.prod(shape)

    def head_bytes(self, shape: Shape) -> int:
        return 2 * 4 * shape[self.axis]

    def encode(self, values: Tensor, first: int) -> Encoded:
        return Encoded(row_values(values.float()).cpu().numpy().copy(), 0.0)

    def seal(self, rows: NDArray[np.float32], shape: Shape) -> Encoded:
        exact = rows.reshape(len(rows), *shape)
        others = tuple(axis for axis in range(exact.ndim) if axis != self._channels(shape))
        least, largest = exact.min(axis=others, keepdims=True), exact.max(axis=others, keepdims=True)
        with np.errstate(over="ignore"):
            step = (largest - least) / np.float32(_LEVELS)
        if not np.isfinite(step).all():
            raise CacheError(
                "int8: a channel's values lie further apart than float32 reaches; take the codec float32",
                code="out_of_range",
            )
        levels = np.rint((exact - least.astype(np.float64)) / np.where(step > 0, step, 1))
        kept = levels.clip(0, _LEVELS).astype(np.uint8)
        error = np.abs(_values(kept, least, step) - exact).max(initial=0.0)
        head = np.stack([least.ravel(), step.ravel()]).astype("<f4").tobytes()
        return Encoded(kept.reshape(len(rows), -1), float(error), head=head)

    def decode(self, records: Bytes, heads: Bytes, shard: NDArray[np.int64], shape: Shape) -> Tensor:
        ends = heads.view("<f4").reshape(len(heads), 2, shape[self.axis])[shard]
        beside = [len(records), *(1 for _ in shape)]
        beside[self._channels(shape)] = shape[self.axis]
        found = _values(records.reshape(len(records), *shape), ends[:, 0].reshape(beside), ends[:, 1].reshape(beside))
        return torch.from_numpy(found)

    def errors(self, found: Tensor | SparseLogits, live: Tensor) -> Tensor:
        assert isinstance(found, Tensor)
        return row_values((found - live.float()).abs()).amax(1)

    def _channels(self, shape: Shape) -> int:
        return 1 + self.axis % len(shape)


def _values(levels: Bytes, least: NDArray[np.float32], step: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = levels * step + least
    return found
