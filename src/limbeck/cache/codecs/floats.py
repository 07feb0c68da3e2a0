"""Every value as a floating number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.cache.codecs.codec import Bytes, Codec, Encoded, Shape, row_values
from limbeck.errors import CacheError
from limbeck.functional import SparseLogits
from limbeck.registry import register

__all__ = ["Float16", "Float32"]


class _Floats(Codec):
    dtype: ClassVar[str]

    def record_bytes(self, shape: Shape) -> int:
        return math.prod(shape) * np.dtype(self.dtype).itemsize

    def encode(self, values: Tensor, first: int) -> Encoded:
        exact = row_values(values.float()).cpu()
        with np.errstate(over="ignore"):
            kept = exact.numpy().astype(self.dtype)
        if not np.isfinite(kept).all():
            raise CacheError(
                f"a value is {float(exact.abs().max()):.6g}, and {kept.dtype.name} ends at {np.finfo(kept.dtype).max}; "
                "take the codec float32",
                code="out_of_range",
            )
        error = np.abs(kept.astype(np.float32) - exact.numpy()).max(initial=0.0)
        return Encoded(kept.view(np.uint8), float(error))

    def decode(self, records: Bytes, heads: Bytes, shard: NDArray[np.int64], shape: Shape) -> Tensor:
        found = records.view(self.dtype).astype(np.float32, copy=False)
        return torch.from_numpy(found).view(len(records), *shape)

    def errors(self, found: Tensor | SparseLogits, live: Tensor) -> Tensor:
        assert isinstance(found, Tensor)
        return row_values((found - live.float()).abs()).amax(1)


@register("codec", "float32")
@dataclass(frozen=True, kw_only=True)
class Float32(_Floats):
    """Four bytes a value: what the teacher gave, bit for bit, if it computes in float32 or less.

    >>> Float32().record_bytes((100,))
    400
    """

    dtype = "<f4"
    promise = "exact for values of at most float32's precision; the error is of a value"


@register("codec", "float16")
@dataclass(frozen=True, kw_only=True)
class Float16(_Floats):
    """Two bytes a value, for values up to 65,504.

    >>> Float16().record_bytes((100,))
    200
    """

    dtype = "<f2"
    promise = "within 2^-11 of the value, or 2^-25 if that is more; the error is of a value"
