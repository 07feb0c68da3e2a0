"""Batches of texts: as each model reads them, padded to the longest row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from limbeck.cache import CachedRows, placed
from limbeck.core.addresses import map_tensors
from limbeck.data.batches import Batch
from limbeck.data.bucketed import Bucketed
from limbeck.data.plan import Plan
from limbeck.data.rows.row_set import RowSet
from limbeck.data.rows.texts import Texts
from limbeck.data.tokens import TokenizerView, Tokens
from limbeck.data.word_copies import TextViews
from limbeck.errors import ArgumentError

__all__ = ["Readable", "TextBatches", "read_rows", "whole_texts"]


class Readable(RowSet, Protocol):
    """A set of rows of texts, with their labels."""

    @property
    def files(self) -> tuple[Texts, ...]: ...

    @property
    def position(self) -> Tensor:
        """int64 `[N]`, where each row stands in the files, one after the other."""

    @property
    def entries(self) -> int:
        """The number of entries of a cache."""

    def cache_index(self, rows: Tensor) -> Tensor:
        """The entries of these rows, int64 `[B]`, or `[B, W]` with -1 where there is none."""

    def rows_of(self, entries: Tensor) -> tuple[Tensor, Any]:
        """The rows (int64 `[B]`) of these entries, and the index of each entry in the outputs for these rows."""

    def labels(self, rows: Tensor, tokens: Sequence[Tokens], least: int) -> dict[str, Tensor]:
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
    mapping for each of the other tokenizers. What it holds depends on the plan, the seed and the step alone.

    Args:
        data: the training rows.
        plan: which rows there are to each step.
        tokenizers: how models read them, by name; the first is the student's.
        rank: which of the processes that train together this one is.
        world: how many they are; each takes one contiguous slice of every batch.
        views: the number of views per row that a cache distinguishes.
        cached: the caches to read for each batch.
        text_views: the rows with their copies; without, texts are the same in all views.

    Raises:
        ArgumentError: if batch_size does not divide by world.
    """

    reads_student: ClassVar[bool] = False

    def __init__(
        self,
        data: Readable,
        plan: Plan,
        tokenizers: Mapping[str, TokenizerView],
        *,
        rank: int = 0,
        world: int = 1,
        views: int | None = None,
        cached: CachedRows | None = None,
        text_views: TextViews | None = None,
    ) -> None:
        if plan.batch_size % world:
            raise ArgumentError(
                f"batch_size {plan.batch_size} does not divide by the {world} processes; expected a multiple",
                path="batch_size",
            )
        size = plan.batch_size // world
        first = next(iter(tokenizers.values()))
        self._plan = Bucketed(plan, first.of(data).lengths[data.position])
        self._data: Readable = data if text_views is None else text_views.data
        self._text_views = text_views
        self._tokenizers = tokenizers
        self._slice = slice(rank * size, (rank + 1) * size)
        self._views = views
        self._cached = cached

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Batch]:
        """The batches of the steps from start_step up to and without stop_step, counted over all epochs from 0."""
        for step in range(start_step, stop_step):
            rows, views = (column[self._slice] for column in self._plan.rows(step))
            yield self.view(rows, views if self._views is None else views % self._views)

    def view(self, rows: Tensor, views: Tensor) -> Batch:
        """These rows (int64 `[B]`) as a batch; each in the view given for it."""
        position = None if self._text_views is None else self._text_views.position(rows, views)
        batch = read_rows(self._data, rows, self._tokenizers, position=position)
        batch["view"] = views
        batch["class_weight"] = self._data.class_weight(rows, batch["target"])
        if self._cached is not None:
            batch["cached"] = self._cached_outputs(self._cached, rows, views % self._cached.views)
        return batch

    def _cached_outputs(self, cached: CachedRows, rows: Tensor, views: Tensor) -> dict[str, Any]:
        entries = self._data.cache_index(rows)
        real = entries >= 0
        views = views.reshape(-1, *[1] * (entries.ndim - 1)).expand_as(entries)
        outputs: dict[str, Any] = map_tensors(cached(entries[real], views[real]), placed, real)
        return outputs

    @property
    def entries(self) -> int:
        """How many entries a cache has: one for each row, or for each word."""
        return self._data.entries

    def query(self, entries: Tensor, views: Tensor) -> tuple[Batch, Any]:
        """What a teacher is given for these entries of a cache, and the index of each entry in its outputs."""
        rows, positions = self._data.rows_of(entries)
        # There may be fewer rows than entries of words, which are the same in all views.
        return self.view(rows, views[: len(rows)]), positions


def read_rows(
    data: Readable,
    rows: Tensor,
    tokenizers: Mapping[str, TokenizerView],
    least: int = 1,
    position: Tensor | None = None,
) -> Batch:
    """These rows (int64 `[B]`) as a batch, in this order, padded to the longest of them or to the least length.

    Their texts stand at ``position`` in the files, if it is given.
    """
    position = data.position[rows] if position is None else position
    tokens = {name: tokenizer.of(data) for name, tokenizer in tokenizers.items()}
    read = {name: tokenizer.inputs(tokens[name], position, least) for name, tokenizer in tokenizers.items()}
    first, *others = read
    batch: Batch = {
        "inputs": read[first],
        **data.labels(rows, list(tokens.values()), least),
        "index": data.index[rows],
        "row": rows,
        "view": torch.zeros_like(rows),
    }
    return {**batch, "tokens": {name: read[name] for name in others}} if others else batch


def whole_texts(data: Readable, batch_size: int, tokenizers: Mapping[str, TokenizerView]) -> Iterator[Batch]:
    """All rows once, from short to long; "row" says which they are."""
    first = next(iter(tokenizers.values()))
    order = first.of(data).lengths[data.position].argsort(stable=True)
    for start in range(0, len(data), batch_size):
        yield read_rows(data, order[start : start + batch_size], tokenizers)
