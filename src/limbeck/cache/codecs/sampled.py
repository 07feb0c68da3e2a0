"""A sample of the teacher's distribution whose mean over draws is the distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from limbeck.cache.codecs.codec import Bytes, Codec, Encoded, Shape
from limbeck.cache.codecs.sample_record import SampleRecord
from limbeck.cache.codecs.sparse_records import FLOOR, check_classes, check_softened, check_temperature
from limbeck.errors import ArgumentError
from limbeck.functional import SparseLogits
from limbeck.registry import register

__all__ = ["Drawn", "Sampled", "draw_sample"]


@register("codec", "sampled")
@dataclass(frozen=True, kw_only=True)
class Sampled(Codec):
    """The largest classes for certain, and a sample of the others in which all weigh the same.

    Of the softened distribution p, the m largest classes stand with their own p. Of the others, with mass r together, s
    are drawn without replacement, each with probability p_c / τ and then the weight τ = r / s. So the mean over draws
    is p, the weights of every draw sum to 1, and the expected gradient of a mean under the teacher is the one with all
    classes. m is the least for which no probability p_c / τ exceeds 1; s is what the bytes still hold, as a class that
    is drawn costs its number alone. The draw is systematic, by one uniform number for each (row, view) and position,
    from a counter-based generator with this seed; it is the same in every build.

    Anshumann et al. draw with replacement and store how often each class came. That has the same mean, but spends draws
    on the large classes again and again. Leaving these out, and drawing from the rest in proportion to p, is the scheme
    of least variance by Cohen et al., here with a number of classes that is bound by bytes.

    Args:
        size: bytes of one position; fewer if all classes fit into less.
        temperature: T of the softmax. Losses at another one refuse what is read.
        seed: decides the draws.

    Raises:
        ArgumentError: if the temperature is not a finite number above 0, or the seed below 0.

    Anshumann, Zaidi, Kedia, Ahn, Kwon, Lee, Lee and Lee, 2025, "Sparse Logit Sampling: Accelerating Knowledge
    Distillation in LLMs", arXiv:2503.16870. Cohen, Duffield, Kaplan, Lund and Thorup, 2009, "Stream sampling for
    variance-optimal estimation of subset sums", arXiv:0803.0473.

    >>> Sampled(size=60).record_bytes((131_072,)), Sampled(size=60).record_bytes((10,))
    (60, 28)
    """

    size: int = 64
    temperature: float = 1.0
    seed: int = 0

    # Classes times positions that are drawn from at once: in float64, 128 MiB.
    at_once: ClassVar[int] = 2**24
    promise = (
        "unbiased; a weight within 2^-12 (0.025%) of itself, those below 1.3e-14 as 1.3e-14; the error is of its "
        "logarithm"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature("sampled", self.temperature)
        if not 0 <= self.seed < 2**64:
            raise ArgumentError(f"sampled: seed is {self.seed}; expected 0 to 2^64 - 1", path="seed")

    def check(self, shape: Shape) -> None:
        check_classes("sampled", shape)
        SampleRecord.fitting(shape[-1], self.size)

    def record_bytes(self, shape: Shape) -> int:
        return math.prod(shape[:-1]) * SampleRecord.fitting(shape[-1], self.size).size

    def encode(self, values: Tensor, first: int) -> Encoded:
        record = SampleRecord.fitting(values.shape[-1], self.size)
        places = torch.from_numpy(_uniform(self.seed, first, len(values), math.prod(values.shape[1:-1])))
        flat = values.reshape(-1, record.classes)
        rows = max(1, self.at_once // record.classes)
        drawn = [
            draw_sample(self._softened(part), place, record)
            for part, place in zip(torch.split(flat, rows), torch.split(places.to(flat.device), rows), strict=True)
        ]
        certain, indices, logs, weight, mass = (torch.cat(part).cpu().numpy() for part in zip(*drawn, strict=True))
        check_softened("sampled", weight, self.temperature)
        records, error = record.pack(certain, indices, logs, weight)
        return Encoded(records.reshape(len(values), -1), error, float(mass.mean()))

    def decode(self, records: Bytes, heads: Bytes, shard: NDArray[np.int64], shape: Shape) -> SparseLogits:
        record = SampleRecord.fitting(shape[-1], self.size)
        indices, logs = (torch.from_numpy(part) for part in record.unpack(records.reshape(-1, record.size)))
        lists = (len(records), *shape[:-1], record.slots)
        return SparseLogits(indices.view(lists), logs.view(lists), None, record.classes, self.temperature)

    def errors(self, found: Tensor | SparseLogits, live: Tensor) -> Tensor:
        assert isinstance(found, SparseLogits)
        entries = zip(found.indices, found.values, live, strict=True)
        return torch.stack([self._error(indices, kept, entry) for indices, kept, entry in entries])

    def _error(self, indices: Tensor, kept: Tensor, live: Tensor) -> Tensor:
        p = self._softened(live.reshape(-1, live.shape[-1]))
        indices, kept = indices.view(len(p), -1), kept.view(len(p), -1)
        there = kept.isfinite()
        # Those that were drawn come last and weigh the same: what is left by the others, in equal parts.
        weight = kept.gather(-1, there.sum(-1, keepdim=True) - 1)
        drawn = there & (kept == weight)
        own = p.gather(-1, indices)
        rest = p.scatter_add(-1, indices, -own.where(there & ~drawn, 0)).clamp(min=0).sum(-1, keepdim=True)
        expected = own.where(~drawn, rest / drawn.sum(-1, keepdim=True)).log().clamp(min=FLOOR)
        above = (own.log() - weight).where(drawn, 0).clamp(min=0)
        return torch.maximum((kept - expected).abs().where(there, 0), above).max()

    def _softened(self, logits: Tensor) -> Tensor:
        return (logits.double() / self.temperature).softmax(-1)


class Drawn(NamedTuple):
    """What a record holds of n distributions.

    Args:
        certain: m, int64 `[n]`.
        indices: int64 `[n, slots]`: the certain classes, those that were drawn, and 0 where there is none.
        logs: log p of the certain ones, float64 `[n, most_certain]`; only the first m count.
        weight: log τ, float64 `[n]`.
        mass: the probability of all that are there, float64 `[n]`.
    """

    certain: Tensor
    indices: Tensor
    logs: Tensor
    weight: Tensor
    mass: Tensor


def draw_sample(p: Tensor, place: Tensor, record: SampleRecord) -> Drawn:
    """Choose the certain classes of each distribution, and draw the others.

    Args:
        p: float64 `[n, C]`, rows that sum to 1.
        place: float64 `[n]`, in [0, 1), whole multiples of 2^-32.
        record: says how many classes may be certain, and how many are drawn beside them.
    """
    largest, classes = p.topk(record.most_certain)
    certain, weight = _certain(p, largest, classes, record)
    is_certain = torch.arange(record.most_certain, device=p.device) < certain
    others = p.scatter(-1, classes, largest.where(~is_certain, 0))
    drawn, found = _systematic(others / weight.clamp(min=torch.finfo(p.dtype).tiny), place, record.draws[0])
    slot = torch.arange(record.slots, device=p.device)
    listed = F.pad(classes, (0, record.slots - record.most_certain))
    after = (slot - certain).clamp(0, record.draws[0] - 1)
    there = (slot < certain) | found.gather(-1, after)
    indices = listed.where(slot < certain, drawn.gather(-1, after)).where(there, 0)
    mass = p.gather(-1, indices).where(there, 0).sum(-1)
    return Drawn(certain[:, 0], indices, largest.log(), weight[:, 0].log(), mass)


def _certain(p: Tensor, largest: Tensor, classes: Tensor, record: SampleRecord) -> tuple[Tensor, Tensor]:
    """m and τ, both `[n, 1]`: the least m whose rest, in parts of equal weight, has no class above that weight."""
    draws = torch.tensor(record.draws, dtype=p.dtype, device=p.device)
    beyond = p.scatter(-1, classes, 0)
    # Summed from the small end: 1 - (what is before) would leave nothing of a rest below a float's precision.
    rest = F.pad(largest, (0, 1)).flip(-1).cumsum(-1).flip(-1) + beyond.sum(-1, keepdim=True)
    weights = rest / draws.clamp(min=1)
    following = torch.cat([largest, beyond.amax(-1, keepdim=True)], -1)
    certain = (following <= weights).to(torch.uint8).argmax(-1, keepdim=True)
    return certain, weights.gather(-1, certain)


def _systematic(lengths: Tensor, place: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The classes in whose intervals, laid one after the other, the points ``place``, ``place + 1``, … lie.

    Returns:
        Classes int64 `[n, most]`, and whether there is a point, bool `[n, most]`: as many as the lengths sum to.
    """
    ends = lengths.clamp(max=1).cumsum(-1)
    total = ends[:, -1:].round()
    # Rounding must not leave the last point beyond the last end.
    ends = ends * (total / ends[:, -1:].clamp(min=torch.finfo(ends.dtype).tiny))
    points = place[:, None] + torch.arange(most, dtype=ends.dtype, device=ends.device)
    return torch.searchsorted(ends, points, right=True).clamp(max=ends.shape[-1] - 1), points < total


def _uniform(seed: int, first: int, entries: int, positions: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each position of each entry, `[entries * positions]`, as a function of the entry's number.

    Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3", doi:10.1145/2063384.2063405.
    """
    blocks = -(-positions // 4)
    words = np.random.Philox(key=seed, counter=first * blocks).random_raw(entries * blocks * 4)
    # 32 bits: the points, this number plus a whole one, must be exact.
    drawn = words.reshape(entries, -1)[:, :positions] >> np.uint64(32)
    return drawn.ravel().astype(np.float64) * 2.0**-32
