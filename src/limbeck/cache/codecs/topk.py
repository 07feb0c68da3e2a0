"""The k most probable classes, and the mass of all others as one bucket."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.cache.codecs.codec import Bytes, Codec, Encoded, Shape
from limbeck.cache.codecs.sparse_records import (
    FLOOR,
    LOG_BYTES,
    check_classes,
    check_softened,
    check_temperature,
    index_bytes,
    largest_error,
    pack_indices,
    pack_logs,
    unpack_indices,
    unpack_logs,
)
from limbeck.errors import ArgumentError
from limbeck.functional import SparseLogits
from limbeck.losses.sparse_logits import log_buckets
from limbeck.registry import register

__all__ = ["TopK"]


@register("codec", "topk")
@dataclass(frozen=True, kw_only=True)
class TopK(Codec):
    """The k most probable classes with the logarithms of their softened probabilities, and that of the others' sum.

    Losses see a distribution over k + 1 buckets, so what the teacher says among the classes of the tail is lost, and
    the student's gradient there is biased: it keeps the tail's mass and not its order. Class numbers take as many bits
    as they need, without gaps, and each logarithm 16.

    Args:
        k: how many classes; all if there are no more.
        temperature: T of the softmax. Losses at another one refuse what is read.

    Raises:
        ArgumentError: if k is below 1 or the temperature not a finite number above 0.

    >>> TopK(k=27).record_bytes((131_072,)), TopK(k=100).record_bytes((100,))
    (114, 288)
    """

    k: int = 32
    temperature: float = 1.0

    promise = (
        "a probability within 2^-12 (0.025%) of itself, those below 1.3e-14 as 1.3e-14; the error is of its logarithm"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature("topk", self.temperature)
        if self.k < 1:
            raise ArgumentError(f"topk: k is {self.k}; expected at least 1 class", path="k")

    def check(self, shape: Shape) -> None:
        check_classes("topk", shape)

    def record_bytes(self, shape: Shape) -> int:
        k, logs = self._counts(shape[-1])
        return math.prod(shape[:-1]) * (index_bytes(k, shape[-1]) + LOG_BYTES * logs)

    def encode(self, values: Tensor, first: int) -> Encoded:
        classes = values.shape[-1]
        k, logs = self._counts(classes)
        flat = values.float().reshape(-1, classes)
        indices = flat.topk(k).indices
        exact = log_buckets(flat, indices, self.temperature, tail=logs > k).cpu().numpy()
        check_softened("topk", exact, self.temperature)
        codes = pack_logs(exact)
        records = np.concatenate([pack_indices(indices.cpu().numpy(), classes), codes.view(np.uint8)], axis=1)
        mass = np.exp(exact[:, :k]).sum(1).mean()
        return Encoded(records.reshape(len(values), -1), largest_error(codes, exact), float(mass))

    def decode(self, records: Bytes, heads: Bytes, shard: NDArray[np.int64], shape: Shape) -> SparseLogits:
        classes, lead = shape[-1], (len(records), *shape[:-1])
        k, logs = self._counts(classes)
        split = index_bytes(k, classes)
        flat = records.reshape(-1, split + LOG_BYTES * logs)
        indices = torch.from_numpy(unpack_indices(flat[:, :split], k, classes))
        found = torch.from_numpy(unpack_logs(np.ascontiguousarray(flat[:, split:]).view("<u2")))
        tail = found[:, k].view(lead) if logs > k else None
        return SparseLogits(indices.view(*lead, k), found[:, :k].view(*lead, k), tail, classes, self.temperature)

    def errors(self, found: Tensor | SparseLogits, live: Tensor) -> Tensor:
        assert isinstance(found, SparseLogits)
        kept = found.values if found.tail is None else torch.cat([found.values, found.tail[..., None]], -1)
        exact = log_buckets(live.float(), found.indices, self.temperature, tail=found.tail is not None)
        return (kept - exact.clamp(min=FLOOR)).abs().flatten(1).amax(1)

    def _counts(self, classes: int) -> tuple[int, int]:
        """How many classes are listed, and how many logarithms there are with that of the tail."""
        k = min(self.k, classes)
        return k, k + (k < classes)
