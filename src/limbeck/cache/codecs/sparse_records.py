"""Class numbers and logarithms of probabilities as bytes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from limbeck.cache.codecs.codec import Bytes, Shape
from limbeck.errors import ArgumentError, CacheError

__all__ = [
    "FLOOR",
    "LOG_BYTES",
    "check_classes",
    "check_softened",
    "check_temperature",
    "index_bits",
    "index_bytes",
    "largest_error",
    "pack_indices",
    "pack_logs",
    "unpack_indices",
    "unpack_logs",
]

LOG_BYTES = 2
_STEPS = 2048
_NONE = 65535
_MOST_BITS = 25  # a number of so many bits lies within 4 bytes, wherever it starts in the first

FLOOR = -(_NONE - 1) / _STEPS


def check_temperature(codec: str, temperature: float) -> None:
    """Refuse a temperature that is not a finite number above 0."""
    if not 0 < temperature < math.inf:
        raise ArgumentError(
            f"{codec}: temperature is {temperature}, expected a finite number above 0", path="temperature"
        )


def check_classes(codec: str, shape: Shape) -> None:
    """Refuse entries that have no classes, or more than 2^25."""
    if not shape or not 1 <= shape[-1] <= 2**_MOST_BITS:
        raise ArgumentError(
            f"{codec}: an entry has shape {list(shape)}; expected logits, with 1 to {2**_MOST_BITS} classes on the "
            "last axis",
            code="wrong_shape",
            path="shape",
        )


def check_softened(codec: str, softened: NDArray[np.floating], temperature: float) -> None:
    """Refuse what is no distribution: where logits overflow, the softmax is NaN."""
    if np.isnan(softened).any():
        raise CacheError(
            f"{codec}: the softmax of a row at temperature {temperature} is NaN, as its logits, divided by that, "
            "overflow; mend the teacher, or take a higher temperature",
            code="not_finite",
            path="temperature",
        )


def index_bits(classes: int) -> int:
    """The bits of a class number.

    >>> index_bits(100), index_bits(131_072)
    (7, 17)
    """
    return max(1, (classes - 1).bit_length())


def index_bytes(k: int, classes: int) -> int:
    """The bytes of k class numbers, packed without gaps.

    >>> index_bytes(25, 131_072)
    54
    """
    return -(-k * index_bits(classes) // 8)


def pack_indices(indices: NDArray[np.int64], classes: int) -> Bytes:
    """Class numbers `[n, k]` as bytes `[n, index_bytes]`, the lowest bit first."""
    words = np.ascontiguousarray(indices, dtype="<u4").view(np.uint8).reshape(*indices.shape, 4)
    bits = np.unpackbits(words, axis=-1, bitorder="little")[..., : index_bits(classes)]
    return np.packbits(bits.reshape(len(indices), -1), axis=-1, bitorder="little")


def unpack_indices(packed: Bytes, k: int, classes: int) -> NDArray[np.int64]:
    """The class numbers `[n, k]` of bytes that `pack_indices` gave."""
    bits = index_bits(classes)
    start = np.arange(k) * bits
    padded = np.pad(packed, ((0, 0), (0, 3)))
    words = np.ascontiguousarray(padded[:, start[:, None] // 8 + np.arange(4)]).view("<u4")[..., 0]
    return (words >> (start % 8).astype(np.uint32) & ((1 << bits) - 1)).astype(np.int64)


def pack_logs(logs: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Logarithms of probabilities in steps of 2^-11, down to -31.999; a code of its own stands for that of 0.

    Fixed steps keep every probability to 0.025%. A float16 would keep one of e^-9 to 0.4%, in as many bytes.
    """
    codes = np.where(np.isneginf(logs), _NONE, np.rint(np.maximum(logs, FLOOR) * -_STEPS).clip(0))
    return codes.astype("<u2")


def unpack_logs(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The logarithms of codes that `pack_logs` gave."""
    logs = codes.astype(np.float32) * np.float32(-1 / _STEPS)
    logs[codes == _NONE] = -np.inf
    return logs


def largest_error(codes: NDArray[np.uint16], logs: NDArray[np.floating]) -> float:
    """The largest error of the logarithms that codes stand for, leaving out those below the floor."""
    inside = logs > FLOOR
    return float(np.abs(unpack_logs(codes[inside]) - logs[inside]).max(initial=0.0))
