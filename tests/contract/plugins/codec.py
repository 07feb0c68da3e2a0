"""A codec of teacher outputs: two bytes a value, by the upper half of a float32."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.cache.codecs import Bytes, Codec, Encoded, Shape
from limbeck.registry import register


@register("codec", "upper_half")
@dataclass(frozen=True, kw_only=True)
class UpperHalf(Codec):
    """The upper two bytes of each float32."""

    promise = "within 2^-7 of the value"

    def record_bytes(self, shape: Shape) -> int:
        return 2 * math.prod(shape)

    def encode(self, values: Tensor, first: int) -> Encoded:
        exact = values.float().flatten(1).cpu().numpy()
        upper = (np.ascontiguousarray(exact, "<f4").view("<u4") >> 16).astype("<u2")
        error = np.abs(self._floats(upper) - exact).max(initial=0.0)
        return Encoded(upper.view(np.uint8), float(error))

    def decode(self, records: Bytes, heads: Bytes, shard: NDArray[np.int64], shape: Shape) -> Tensor:
        return torch.from_numpy(self._floats(records.view("<u2"))).view(len(records), *shape)

    def errors(self, found: Tensor, live: Tensor) -> Tensor:
        return (found - live.float()).abs().flatten(1).amax(1)

    @staticmethod
    def _floats(upper: NDArray[np.uint16]) -> NDArray[np.float32]:
        return (upper.astype("<u4") << 16).view("<f4")
