"""Batches of any row set, made by a function of the rows' numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from limbeck.cache import CachedRows
from limbeck.data.batches import Batch
from limbeck.data.plan import Plan
from limbeck.errors import ArgumentError

__all__ = ["Collate", "RowBatches", "collated", "whole_rows"]


class Rows(Protocol):
    """The part of a row set that batches read."""

    @property
    def index(self) -> Tensor: ...

    @property
    def labelled(self) -> Tensor: ...

    def __len__(self) -> int: ...


Collate = Callable[[Any, Tensor, Tensor], Batch]
"""From a row set, the numbers of its rows (int64 `[B]`) and the view of each (int64 `[B]`) to a batch."""


class RowBatches:
    """The batches of a plan: what ``collate`` makes of the rows, and beside it what every batch has.

    Every batch holds "row" (the row's number in this set), "index" (its number in the source), "view" (all int64
    `[B]`), "labelled" and "unlabelled" (bool `[B]`); and with caches "cached", the outputs of each cached teacher.

    Args:
        rows: the training rows.
        plan: which of them each step sees.
        collate: makes "inputs", "target" and whatever else a batch holds.
        rank: the number of this process.
        world: the number of processes; each takes one contiguous slice of every batch.
        views: the number of views per row; if None, every epoch has its own.
        cached: the caches to read for each batch.

    Raises:
        ArgumentError: if ``batch_size`` does not divide by ``world``.
    """

    reads_student: ClassVar[bool] = False

    def __init__(
        self,
        rows: Rows,
        plan: Plan,
        collate: Collate,
        *,
        rank: int = 0,
        world: int = 1,
        views: int | None = None,
        cached: CachedRows | None = None,
    ) -> None:
        if plan.batch_size % world:
            raise ArgumentError(
                f"batch_size {plan.batch_size} does not divide by the {world} processes; expected a multiple",
                path="batch_size",
            )
        size = plan.batch_size // world
        self._rows = rows
        self._plan = plan
        self._collate = collate
        self._slice = slice(rank * size, (rank + 1) * size)
        self._views = views
        self._cached = cached

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Batch]:
        """The batches of the steps from ``start_step`` up to ``stop_step``, counted over all epochs from 0."""
        for step in range(start_step, stop_step):
            numbers, views = (column[self._slice] for column in self._plan.rows(step))
            views = views if self._views is None else views % self._views
            batch = collated(self._rows, numbers, views, self._collate)
            if self._cached is not None:
                batch["cached"] = self._cached(numbers, views % self._cached.views)
            yield batch

    @property
    def entries(self) -> int:
        """The number of entries of a cache: one per row."""
        return len(self._rows)

    def query(self, entries: Tensor, views: Tensor) -> tuple[Batch, Any]:
        """The batch that a teacher is given for these entries of a cache, and where each stands in its outputs."""
        return collated(self._rows, entries, views, self._collate), slice(None)


def collated(rows: Rows, numbers: Tensor, views: Tensor, collate: Collate) -> Batch:
    """A batch of these rows, with the entries that every batch has."""
    labelled = rows.labelled[numbers]
    numbered = {"row": numbers, "index": rows.index[numbers], "view": views}
    return {**numbered, "labelled": labelled, "unlabelled": ~labelled, **collate(rows, numbers, views)}


def whole_rows(rows: Rows, batch_size: int, collate: Collate) -> Iterator[Batch]:
    """All rows in order, in view 0; the last batch may be smaller."""
    for start in range(0, len(rows), batch_size):
        numbers = torch.arange(start, min(start + batch_size, len(rows)))
        yield collated(rows, numbers, torch.zeros_like(numbers), collate)
