"""Batches for training and for evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import getitem
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from limbeck.cache import CachedRows
from limbeck.core import map_rows, map_tensors
from limbeck.data.augment import Augment
from limbeck.data.pixels import MemoryImages
from limbeck.data.plan import Plan
from limbeck.data.rows.images import ImageSet
from limbeck.data.rows.row_set import class_weights, known
from limbeck.errors import ArgumentError, CacheError, DataError

__all__ = ["Batch", "Batches", "pixels", "whole"]

# Tensors by name, or mappings of them, such as the outputs of cached teachers.
Batch = dict[str, Any]

_CHUNK_ROWS = 1024
_CHUNK_VALUES = 2**20


class Batches:
    """The batches of a plan, augmented, as tensors on the CPU.

    A batch holds "inputs" (float32 `[B, C, H, W]` in 0..1), "target" (as `ImageSet` has it, `[B]` or `[B, K]`), "index"
    (the row's number in its source), "row" (its number in this set), "labelled" and its contrary "unlabelled" (bool
    `[B]`), "view" (int64 `[B]`) and "class_weight" (float32 `[B]`, by `limbeck.functional.inverse_frequency` over this
    set; 1 where the class is unknown); and with caches "cached": each teacher's outputs for these views of these rows,
    by the name of the teacher and of the output. What a batch holds depends on the plan, the seed and the step alone,
    and not on where iteration starts, on workers or on chunk.

    Args:
        data: the training rows.
        plan: which rows each step sees.
        augment: how images are changed; not at all if None.
        seed: decides the augmentation.
        workers: processes that read images which are not in memory, no more than there are cores; a set in memory
            uses none.
        rank: which of the processes that train together this one is.
        world: how many they are; each takes one contiguous slice of every batch.
        chunk: how many rows in memory to handle at once, as this costs less than batch by batch; if None, 1,024 rows
            or as many as keep within 2^20 values.
        views: the number of augmented views per row: the plan's views are taken modulo this number, so that a cache can
            hold a teacher's outputs for each; if None, every epoch has its own.
        cached: the caches to read for each batch. They are of these rows, with one view or as many as ``views``.

    Raises:
        ArgumentError: if the plan is for other rows, batch_size does not divide by world, a number is out of range, or
            the caches are of other rows or views.

    >>> from limbeck.data.sources.digits import Digits
    >>> data = Digits().load()["train"]
    >>> plan = Plan(data.labelled, batch_size=64, seed=0)
    >>> batch = next(Batches(data, plan, Augment(crop=1), seed=0).iterate(0, plan.steps_per_epoch))
    >>> batch["inputs"].shape
    torch.Size([64, 1, 8, 8])
    """

    reads_student: ClassVar[bool] = False

    def __init__(
        self,
        data: ImageSet,
        plan: Plan,
        augment: Augment | None = None,
        *,
        seed: int,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        chunk: int | None = None,
        views: int | None = None,
        cached: CachedRows | None = None,
    ) -> None:
        if not 0 <= rank < world:
            raise ArgumentError(f"rank is {rank} of world {world}; expected 0..world-1", path="rank")
        if not torch.equal(plan.labelled, data.labelled):
            raise ArgumentError(
                f"the plan is for {len(plan.labelled)} rows, {int(plan.labelled.sum())} of them labelled, the data has "
                f"{len(data)} and {int(data.labelled.sum())}; make the plan from data.labelled",
                code="mismatch",
                path="plan",
            )
        if plan.batch_size % world:
            raise ArgumentError(
                f"batch_size {plan.batch_size} does not divide by the {world} processes; expected a multiple",
                path="batch_size",
            )
        if workers < 0 or (chunk is not None and chunk < 1) or (views is not None and views < 1):
            raise ArgumentError(
                f"workers is {workers}, chunk is {chunk} and views is {views}; expected at least 0, and at least 1 for "
                "the others",
                path="workers" if workers < 0 else "views" if chunk is None or chunk >= 1 else "chunk",
            )
        size = plan.batch_size // world
        channels, height, width = data.shape
        self._data = data
        self._class_weight = class_weights(data)
        self._plan = plan
        self._augment = augment or Augment()
        self._seed = seed
        self._views = views
        self._cached = cached
        if cached is not None:
            _check_cached(cached, data, self._augment, views)
        self._workers = 0 if isinstance(data.images, MemoryImages) else workers
        self._slice = slice(rank * size, (rank + 1) * size)
        self._size = size
        chunk = chunk or min(_CHUNK_ROWS, _CHUNK_VALUES // (channels * height * width))
        self._steps = max(1, chunk // size) if isinstance(data.images, MemoryImages) else 1

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Batch]:
        """The batches of the steps from start_step up to and without stop_step, counted over all epochs from 0."""
        starts = range(start_step, stop_step, self._steps)
        jobs = _Jobs(self._read, [range(start, min(start + self._steps, stop_step)) for start in starts])
        for part in _run(jobs, self._workers):
            for start in range(0, len(part["row"]), self._size):
                yield map_rows(part, getitem, slice(start, start + self._size))

    @property
    def entries(self) -> int:
        """How many entries a cache has: one for each row."""
        return len(self._data)

    def query(self, entries: Tensor, views: Tensor) -> tuple[Batch, Any]:
        """What a teacher is asked for these entries of a cache, and where each stands in what it says."""
        return self.view(entries, views), slice(None)

    def view(self, row: Tensor, view: Tensor) -> Batch:
        """What a model sees of these views of these rows: what a teacher is asked for a cache."""
        return {"inputs": pixels(self._data, row, view, self._augment, self._seed)}

    def _read(self, steps: range) -> Batch:
        planned = [self._plan.rows(step) for step in steps]
        rows = torch.cat([rows[self._slice] for rows, _ in planned])
        views = torch.cat([views[self._slice] for _, views in planned])
        if self._views is not None:
            # Before anything looks at them: the student must see the pixels that the teacher saw.
            views = views % self._views
        batch = _assemble(self._data, rows, views, self._augment, self._seed)
        batch["class_weight"] = self._class_weight[rows]
        if self._cached is not None:
            batch["cached"] = map_tensors(self._cached(rows, views % self._cached.views), _laid_out)
        return batch


def whole(data: ImageSet, batch_size: int, *, workers: int = 0) -> Iterator[Batch]:
    """All rows in order, without augmentation, as batches like those of `Batches` with view 0; the last may be smaller.

    They hold no "class_weight": nothing is trained on them.

    Args:
        data: the rows to evaluate on.
        batch_size: rows per batch.
        workers: processes that read images which are not in memory, no more than there are cores; a set in memory
            uses none.

    Raises:
        ArgumentError: if batch_size is below 1.

    >>> from limbeck.data.sources.digits import Digits
    >>> [len(batch["row"]) for batch in whole(Digits().load()["train"], 1000)]
    [1000, 797]
    """
    if batch_size < 1:
        raise ArgumentError(f"batch_size is {batch_size}; expected at least 1", path="batch_size")
    starts = range(0, len(data), batch_size)
    jobs = _Jobs(partial(_plain, data), [range(start, min(start + batch_size, len(data))) for start in starts])
    return _run(jobs, 0 if isinstance(data.images, MemoryImages) else workers)


def _plain(data: ImageSet, numbers: range) -> Batch:
    rows = torch.arange(numbers.start, numbers.stop)
    return _assemble(data, rows, torch.zeros_like(rows), Augment(), 0)


def _check_cached(cached: CachedRows, data: ImageSet, augment: Augment, views: int | None) -> None:
    fitting = {views} if augment.changes else {1, views}
    if cached.rows != len(data) or cached.views not in fitting:
        raise ArgumentError(
            f"the caches hold {cached.views} views of {cached.rows} rows, the data has {len(data)} rows and "
            f"{'a new view of each in every epoch' if views is None else f'{views} views of each'}; build them "
            "for that",
            code="mismatch",
            path="cached",
        )


def _laid_out(value: Tensor) -> Tensor:
    # Models in training give maps whose channels lie together: so sums over maps run in the same order, and as fast.
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def pixels(data: ImageSet, rows: Tensor, views: Tensor, augment: Augment, seed: int) -> Tensor:
    """The images of these rows (int64 `[B]`) in these views, float32 `[B, C, H, W]` in 0..1."""
    images = augment(data.images.take(rows), rows, views, seed)
    return images if images.is_floating_point() else images.to(torch.float32).div_(255)


def _assemble(data: ImageSet, rows: Tensor, views: Tensor, augment: Augment, seed: int) -> Batch:
    labelled = known(data.target[rows])
    return {
        "inputs": pixels(data, rows, views, augment, seed),
        "target": data.target[rows],
        "index": data.index[rows],
        "row": rows,
        "labelled": labelled,
        "unlabelled": ~labelled,
        "view": views,
    }


class _Jobs(Dataset[Batch | DataError | CacheError]):
    """One batch, or several, per item, so that a worker reads a whole item by the plan."""

    def __init__(self, read: Callable[[range], Batch], parts: Sequence[range]) -> None:
        self._read = read
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: int) -> Batch | DataError | CacheError:
        try:
            return self._read(self._parts[number])
        except (DataError, CacheError) as error:
            # handed over as a value: a worker would bury the one line in its traceback
            return error


def _run(jobs: _Jobs, workers: int) -> Iterator[Batch]:
    workers = min(workers, _cores())
    # a generator of its own: the loader would otherwise draw from torch's global one, which a resumed run restores
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(jobs, batch_size=None, num_workers=workers, generator=generator)
    for item in loader if workers else map(jobs.__getitem__, range(len(jobs))):
        if isinstance(item, DataError | CacheError):
            raise item
        yield item


def _cores() -> int:
    """How many cores this process may run on, where the system says it; otherwise how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
