"""A sample of the teacher's distribution whose mean over draws is the distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.cache.codecs.codec import Bytes, Codec, Encoded, Shape
from limbeck.cache.codecs.sparse_records import FLOOR, SparseRecord, check_classes, check_sparse
from limbeck.errors import ArgumentError
from limbeck.functional import SparseLogits
from limbeck.registry import register

__all__ = ["Sampled", "draw_sample"]

# Classes times rows that are drawn from at once: in float64, 128 MiB.
_AT_ONCE = 2**24


@register("codec", "sampled")
@dataclass(frozen=True, kw_only=True)
class Sampled(Codec):
    """k classes, drawn with probability π_c = min(1, p_c / τ) without replacement, with the weights p_c / π_c.

    p is the softened distribution and τ is such that Σ π = k. So each class above τ is there with its own probability,
    each other with τ or not at all, the mean over draws is p, and the weights sum to 1 in every draw: the expected
    gradient of a mean under the teacher is the one with all classes. The draw is systematic, by one uniform number for
    each (row, view) and position, from a counter-based generator with this seed; it is the same in every build.

    Anshumann et al. draw with replacement, which gives the same mean; but then large classes are drawn many times over,
    and the number of distinct ones varies. Without replacement, k places hold k classes, and the sum of the classes'
    variances is the least that k classes allow.

    Args:
        k: how many classes; all if there are no more.
        temperature: T of the softmax. Losses at another one refuse what is read.
        seed: decides the draws.

    Raises:
        ArgumentError: if k is below 1, the temperature not a finite number above 0, or the seed below 0.

    Anshumann, Zaidi, Kedia, Ahn, Kwon, Lee, Lee and Lee, 2025, "Sparse Logit Sampling: Accelerating Knowledge
    Distillation in LLMs", arXiv:2503.16870. Cohen, Duffield, Kaplan, Lund and Thorup, 2009, "Stream sampling for
    variance-optimal estimation of subset sums", arXiv:0803.0473.

    >>> Sampled(k=27).record_bytes((131_072,))
    112
    """

    k: int = 32
    temperature: float = 1.0
    seed: int = 0

    promise = (
        "unbiased; a weight within 2^-12 (0.025%) of itself, those below 1.3e-14 as 1.3e-14; the error is of its "
        "logarithm"
    )

    def __post_init__(self) -> None:
        check_sparse("sampled", self.k, self.temperature)
        if not 0 <= self.seed < 2**64:
            raise ArgumentError(f"sampled: seed is {self.seed}; expected 0 to 2^64 - 1")

    def check(self, shape: Shape) -> None:
        check_classes("sampled", shape)

    def record_bytes(self, shape: Shape) -> int:
        return math.prod(shape[:-1]) * self._record(shape[-1]).size

    def encode(self, values: Tensor, first: int) -> Encoded:
        record = self._record(values.shape[-1])
        places = torch.from_numpy(_uniform(self.seed, first, len(values), math.prod(values.shape[1:-1])))
        flat = values.reshape(-1, record.classes)
        rows = max(1, _AT_ONCE // record.classes)
        drawn = [
            draw_sample(self._softened(part), place, record.k)
            for part, place in zip(torch.split(flat, rows), torch.split(places.to(flat.device), rows), strict=True)
        ]
        indices, logs, mass = (torch.cat(column) for column in zip(*drawn, strict=True))
        records, error = record.pack(indices, logs)
        return Encoded(records.reshape(len(values), -1), error, float(mass.mean()))

    def decode(self, records: Bytes, heads: Bytes, shard: NDArray[np.int64], shape: Shape) -> SparseLogits:
        record, lead = self._record(shape[-1]), (len(records), *shape[:-1])
        indices, logs = record.unpack(records.reshape(-1, record.size))
        lists = (*lead, record.k)
        return SparseLogits(indices.view(lists), logs.view(lists), None, record.classes, self.temperature)

    def errors(self, found: Tensor | SparseLogits, live: Tensor) -> Tensor:
        assert isinstance(found, SparseLogits)
        listed = found.indices.shape[-1]
        worst = []
        for indices, kept, entry in zip(found.indices, found.values, live, strict=True):
            p = self._softened(entry.reshape(-1, found.classes))
            weight = p.gather(-1, indices.view(-1, listed)).maximum(_threshold(p, listed))
            exact = weight.log().clamp(min=FLOOR).view_as(kept)
            worst.append((kept - exact).abs().where(kept.isfinite(), 0).max())
        return torch.stack(worst)

    def _softened(self, logits: Tensor) -> Tensor:
        return (logits.double() / self.temperature).softmax(-1)

    def _record(self, classes: int) -> SparseRecord:
        k = min(self.k, classes)
        return SparseRecord(classes, k, k)


def draw_sample(p: Tensor, place: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """k classes of each row of probabilities, by systematic sampling.

    The intervals of length π_c lie one after the other on a line; the classes are those in whose intervals the points
    ``place``, ``place + 1``, … lie. If fewer than k classes have any probability, the places left over hold none.

    Args:
        p: float64 `[n, C]`, rows that sum to 1.
        place: float64 `[n]`, in [0, 1), whole multiples of 2^-32.
        k: at most C.

    Returns:
        Classes, int64 `[n, k]`; the logarithms of their weights, `[n, k]`, -inf where there is no class; and the
        probability of all that were drawn, `[n]`.
    """
    threshold = _threshold(p, k)
    ends = (p / threshold).clamp(max=1).cumsum(-1)
    filled = ends[:, -1:].round()
    # Rounding must not leave the last point beyond the last end.
    ends = ends * (filled / ends[:, -1:])
    points = place[:, None] + torch.arange(k, dtype=p.dtype, device=p.device)
    indices = torch.searchsorted(ends, points, right=True).clamp(max=p.shape[-1] - 1)
    found = points < filled
    chosen = p.gather(-1, indices)
    logs = chosen.maximum(threshold).log().where(found, -math.inf)
    return indices.where(found, 0), logs, chosen.where(found, 0).sum(-1)


def _threshold(p: Tensor, k: int) -> Tensor:
    """τ with Σ min(1, p / τ) = k, `[n, 1]`; next to nothing if fewer than k classes have any probability."""
    largest, classes = p.topk(k)
    # Summed from the small end: 1 - (what is before) would leave nothing of a rest below a float's precision.
    others = p.scatter(-1, classes, 0).sum(-1, keepdim=True)
    rest = largest.flip(-1).cumsum(-1).flip(-1) + others
    candidates = rest / torch.arange(k, 0, -1, dtype=p.dtype, device=p.device)
    # With the j largest classes certain, the others share what is left: right for the first j whose next class fits.
    fits = largest <= candidates
    fits[:, -1] = True
    first = fits.to(torch.uint8).argmax(-1, keepdim=True)
    return candidates.gather(-1, first).clamp(min=torch.finfo(p.dtype).tiny)


def _uniform(seed: int, first: int, entries: int, positions: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each position of each entry, `[entries * positions]`, as a function of the entry's number.

    Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3", doi:10.1145/2063384.2063405.
    """
    blocks = -(-positions // 4)
    words = np.random.Philox(key=seed, counter=first * blocks).random_raw(entries * blocks * 4)
    # 32 bits: the points, this number plus 0 to k - 1, must be exact.
    drawn = words.reshape(entries, -1)[:, :positions] >> np.uint64(32)
    return drawn.ravel().astype(np.float64) * 2.0**-32
