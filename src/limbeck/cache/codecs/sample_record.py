"""Where the classes of a sample lie in the bytes of one position."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from limbeck.cache.codecs.codec import Bytes
from limbeck.cache.codecs.sparse_records import (
    LOG_BYTES,
    index_bits,
    index_bytes,
    largest_error,
    pack_indices,
    pack_logs,
    unpack_indices,
    unpack_logs,
)
from limbeck.errors import ArgumentError

__all__ = ["SampleRecord"]

_most_certain = 255
_head = 1 + LOG_BYTES


class SampleRecord(NamedTuple):
    """m in one byte, log τ in two, the numbers of all classes, and from the end backwards log p of the m certain ones.

    A certain class costs the bits of its number and 16 more, a drawn one those of its number: the more are certain, the
    fewer can be drawn.
    """

    classes: int
    size: int

    @classmethod
    def fitting(cls, classes: int, size: int) -> Self:
        """The record of at most this size: smaller if all classes fit into less.

        Raises:
            ArgumentError: if not even one class fits, or more than 255 could be certain.

        >>> SampleRecord.fitting(131_072, 60).draws
        (26, 24, 22, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1)
        """
        certain_bits = index_bits(classes) + 8 * LOG_BYTES
        least, most = _head + index_bytes(1, classes), _head + _most_certain * certain_bits // 8
        fitted = min(size, _head - (-classes * certain_bits // 8))
        if not least <= fitted <= most:
            raise ArgumentError(
                f"sampled: size is {size} bytes for {classes} classes; expected {least} to {most}: take more, or the "
                "codec topk",
                path="size",
            )
        return cls(classes, fitted)

    @property
    def draws(self) -> tuple[int, ...]:
        """How many classes are drawn, for each number of certain ones.

        The last is 1, or 0 if all are certain: with one draw, no class is drawn with a probability above 1.
        """
        return _draws(self.classes, self.size)

    @property
    def most_certain(self) -> int:
        """The most classes that can be certain."""
        return len(self.draws) - 1

    @property
    def slots(self) -> int:
        """The most classes that there can be: those that are drawn if none is certain."""
        return max(self.draws[0], self.most_certain)

    def pack(
        self,
        certain: NDArray[np.int64],
        indices: NDArray[np.int64],
        logs: NDArray[np.float64],
        weight: NDArray[np.float64],
    ) -> tuple[Bytes, float]:
        """The records, and the largest error of a logarithm.

        Args:
            certain: m, `[n]`.
            indices: `[n, slots]`, first the certain ones, then those that were drawn, then 0.
            logs: log p of certain classes `[n, most_certain]`; only the first m are kept.
            weight: log τ, `[n]`.

        Returns:
            uint8 `[n, size]`, and a number.
        """
        is_certain = np.arange(self.most_certain) < certain[:, None]
        codes, weights = pack_logs(logs) * is_certain, pack_logs(weight)
        records = np.zeros((len(certain), self.size), np.uint8)
        records[:, 0] = certain
        records[:, 1:_head] = weights[:, None].view(np.uint8)
        records[:, _head : _head + index_bytes(self.slots, self.classes)] = pack_indices(indices, self.classes)
        records[:, self._values] |= np.ascontiguousarray(codes[:, ::-1]).view(np.uint8)
        return records, max(largest_error(codes[is_certain], logs[is_certain]), largest_error(weights, weight))

    def unpack(self, records: Bytes) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Classes `[n, slots]`, and the logarithms of their weights `[n, slots]`, -inf where there is none."""
        certain = records[:, :1].astype(np.int64)
        weights = unpack_logs(np.ascontiguousarray(records[:, 1:_head]).view("<u2"))
        slot, most = np.arange(self.slots), self.most_certain
        logs = np.where(slot < certain + np.array(self.draws)[certain], weights, np.float32(-np.inf))
        if most:
            values = unpack_logs(np.ascontiguousarray(records[:, self._values]).view("<u2")[:, ::-1])
            logs[:, :most] = np.where(slot[:most] < certain, values, logs[:, :most])
        packed = records[:, _head : _head + index_bytes(self.slots, self.classes)]
        return unpack_indices(packed, self.slots, self.classes) * np.isfinite(logs), logs

    @property
    def _values(self) -> slice:
        return slice(self.size - LOG_BYTES * self.most_certain, self.size)


@lru_cache
def _draws(classes: int, size: int) -> tuple[int, ...]:
    bits = index_bits(classes)
    free = 8 * (size - _head)
    found = []
    for certain in range(classes):
        draws = min((free - (bits + 8 * LOG_BYTES) * certain) // bits, classes - certain)
        if draws < 1:
            break
        found.append(draws)
    everything = free >= (bits + 8 * LOG_BYTES) * classes
    return (*found, 0) if everything else (*found[:-1], 1)
