"""Whether a cache still holds what its teacher says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from limbeck.cache.builder import Outputs, checked
from limbeck.cache.codecs.codec import row_values
from limbeck.cache.reader import CacheReader
from limbeck.errors import ArgumentError

__all__ = ["Verified", "verify"]


class Verified(NamedTuple):
    """What `verify` found.

    Args:
        faults: what is wrong with which shards; empty if all are whole.
        recomputed: how many entries the teacher was asked for again.
        differing: the entries of each field that differ by more than they may, as (row, view).
        largest: the largest error of each field among those entries, in the unit that its codec names.
    """

    faults: Mapping[int, str]
    recomputed: int
    differing: Mapping[str, list[tuple[int, int]]]
    largest: Mapping[str, float]

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.faults and not any(self.differing.values())


@torch.no_grad()
def verify(
    store: CacheReader, outputs: Outputs | None = None, *, sample: int = 256, seed: int = 0, tolerance: float = 1e-4
) -> Verified:
    """Check the checksum of every shard, and ask the teacher again for some entries.

    An entry may differ by the largest error that was measured when its shard was written, and by the tolerance times
    one more than its largest value, as another machine rounds differently. The teacher is asked in the batches of the
    build, as some compute a row differently in another company.

    Args:
        store: the cache.
        outputs: as `build` took it; without it, only checksums are looked at.
        sample: how many entries to compare at least, in whole batches, at random among the shards that are whole.
        seed: decides which.
        tolerance: see above.

    Raises:
        ArgumentError: if the sample is below 1 or the tolerance below 0.
        CacheError: if the teacher's outputs no longer have the shapes of the cache.
    """
    if sample < 1 or not tolerance >= 0:
        raise ArgumentError(
            f"verify: sample is {sample} and tolerance {tolerance}; expected at least 1 and at least 0",
            path="sample" if sample < 1 else "tolerance",
        )
    faults, fields = store.faults(), store.manifest.fields
    differing: dict[str, list[tuple[int, int]]] = {name: [] for name in fields}
    largest = dict.fromkeys(fields, 0.0)
    recomputed = 0
    for number, entries in _batches(store, faults, sample, seed) if outputs is not None else ():
        assert outputs is not None
        rows, views = entries % store.manifest.rows, entries // store.manifest.rows
        live, found = outputs(rows, views), store.read(rows, views)
        for name, field in fields.items():
            value = checked(name, field, live, entries, store.manifest.rows).cpu()
            errors = field.codec.errors(found[name], value)
            allowed = store.measured_error(name, number) + tolerance * (1 + row_values(value.abs()).amax(1))
            wrong = errors > allowed
            differing[name] += zip(rows[wrong].tolist(), views[wrong].tolist(), strict=True)
            largest[name] = max(largest[name], float(errors.max()))
        recomputed += len(entries)
    return Verified(faults, recomputed, differing, largest)


def _batches(store: CacheReader, faults: Mapping[int, str], sample: int, seed: int) -> list[tuple[int, Tensor]]:
    manifest = store.manifest
    starts = [
        (number, first)
        for number in range(manifest.shards)
        if number not in faults
        for first in range(manifest.shard(number).start, manifest.shard(number).stop, manifest.batch_size)
    ]
    order = torch.randperm(len(starts), generator=torch.Generator().manual_seed(seed)).tolist()
    batches, entries = [], 0
    for number, first in (starts[place] for place in order):
        if entries >= sample:
            break
        batches.append((number, torch.arange(first, min(first + manifest.batch_size, manifest.shard(number).stop))))
        entries += len(batches[-1][1])
    return batches
