"""Batches of texts: as each model reads them, padded to the longest row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from limbeck.cache import CachedRows, placed
from limbeck.core.addresses import map_tensors
from limbeck.data.batches import Batch
from limbeck.data.bucketed import Bucketed
from limbeck.data.labelled import RowSet
from limbeck.data.plan import Plan
from limbeck.data.texts import Texts
from limbeck.data.tokens import Reading, Tokens
from limbeck.data.word_copies import Looks
from limbeck.errors import ArgumentError

__all__ = ["Readable", "TextBatches", "read_rows", "whole_texts"]


class Readable(RowSet, Protocol):
    """A set of rows of texts, and what there is to learn of them."""

    @property
    def files(self) -> tuple[Texts, ...]: ...

    @property
    def place(self) -> Tensor:
        """int64 `[N]`, where each row stands in the files, one after the other."""

    @property
    def entries(self) -> int:
        """How many entries a cache of what is said of these rows has."""

    def entries_of(self, rows: Tensor) -> Tensor:
        """The entries of these rows, int64 `[B]`, or `[B, W]` with -1 where there is none."""

    def rows_of(self, entries: Tensor) -> tuple[Tensor, Any]:
        """The rows (int64 `[B]`) of these entries, and where each stands in what is said of these rows."""

    def truth(self, rows: Tensor, tokens: Sequence[Tokens], least: int) -> dict[str, Tensor]:
        """What a batch holds of the labels of these rows, given the tokens that models read of them: ``target``,
        ``labelled`` and ``unlabelled`` among it."""

    def class_weight(self, rows: Tensor, target: Tensor) -> Tensor:
        """The weight of each label of these rows, of the shape of their target."""

    def fingerprint(self) -> str:
        """A hash of everything in them."""


class TextBatches:
    """The batches of a plan, rows of about one length together.

    A batch holds what `limbeck.data.Batches` has, but "inputs" is a mapping of what the student reads (``input_ids``,
    ``attention_mask`` and, where the model takes it, ``token_type_ids``: int64 `[B, L]`), and "tokens" has such a
    mapping for each of the other readings. What it holds depends on the plan, the seed and the step alone.

    Args:
        data: the training rows.
        plan: which rows there are to each step.
        readings: how models read them, by name; the first is the student's.
        rank: which of the processes that train together this one is.
        world: how many they are; each takes one contiguous slice of every batch.
        views: how many looks at a row a cache tells apart.
        cached: the caches to read for each batch.
        looks: the rows with their copies; without, texts look the same in all views.

    Raises:
        ArgumentError: if batch_size does not divide by world.
    """

    def __init__(
        self,
        data: Readable,
        plan: Plan,
        readings: Mapping[str, Reading],
        *,
        rank: int = 0,
        world: int = 1,
        views: int | None = None,
        cached: CachedRows | None = None,
        looks: Looks | None = None,
    ) -> None:
        if plan.batch_size % world:
            raise ArgumentError(
                f"batch_size {plan.batch_size} does not divide by the {world} processes; expected a multiple"
            )
        size = plan.batch_size // world
        first = next(iter(readings.values()))
        self._plan = Bucketed(plan, first.of(data).lengths[data.place])
        self._data: Readable = data if looks is None else looks.data
        self._looks = looks
        self._readings = readings
        self._slice = slice(rank * size, (rank + 1) * size)
        self._views = views
        self._cached = cached

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Batch]:
        """The batches of the steps from start_step up to and without stop_step, counted over all epochs from 0."""
        for step in range(start_step, stop_step):
            rows, views = (column[self._slice] for column in self._plan.rows(step))
            yield self.look(rows, views if self._views is None else views % self._views)

    def look(self, rows: Tensor, views: Tensor) -> Batch:
        """These rows (int64 `[B]`) as a batch; each with the number of the look at it."""
        place = None if self._looks is None else self._looks.place(rows, views)
        batch = read_rows(self._data, rows, self._readings, place=place)
        batch["view"] = views
        batch["class_weight"] = self._data.class_weight(rows, batch["target"])
        if self._cached is not None:
            batch["cached"] = self._said(self._cached, rows, views % self._cached.views)
        return batch

    def _said(self, cached: CachedRows, rows: Tensor, views: Tensor) -> dict[str, Any]:
        entries = self._data.entries_of(rows)
        real = entries >= 0
        views = views.reshape(-1, *[1] * (entries.ndim - 1)).expand_as(entries)
        said: dict[str, Any] = map_tensors(cached(entries[real], views[real]), placed, real)
        return said

    @property
    def entries(self) -> int:
        """How many entries a cache has: one for each row, or for each word."""
        return self._data.entries

    def asked(self, entries: Tensor, views: Tensor) -> tuple[Batch, Any]:
        """What a teacher is asked for these entries of a cache, and where each stands in what it says."""
        rows, places = self._data.rows_of(entries)
        # Of words, which look the same in all views, there may be fewer rows.
        return self.look(rows, views[: len(rows)]), places


def read_rows(
    data: Readable, rows: Tensor, readings: Mapping[str, Reading], least: int = 1, place: Tensor | None = None
) -> Batch:
    """These rows (int64 `[B]`) as a batch, in this order, padded to the longest of them or to the least length.

    Their texts stand at ``place`` in the files, if it is given.
    """
    place = data.place[rows] if place is None else place
    tokens = {name: reading.of(data) for name, reading in readings.items()}
    read = {name: reading.inputs(tokens[name], place, least) for name, reading in readings.items()}
    first, *others = read
    batch: Batch = {
        "inputs": read[first],
        **data.truth(rows, list(tokens.values()), least),
        "index": data.index[rows],
        "row": rows,
        "view": torch.zeros_like(rows),
    }
    return {**batch, "tokens": {name: read[name] for name in others}} if others else batch


def whole_texts(data: Readable, batch_size: int, readings: Mapping[str, Reading]) -> Iterator[Batch]:
    """All rows once, from short to long; "row" says which they are."""
    first = next(iter(readings.values()))
    order = first.of(data).lengths[data.place].argsort(stable=True)
    for start in range(0, len(data), batch_size):
        yield read_rows(data, order[start : start + batch_size], readings)
