"""Batches of texts with some of their words hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.data.batches import Batch
from limbeck.data.mlm_masking import MlmMasking
from limbeck.data.rows.row_set import UNKNOWN
from limbeck.data.text_batches import TextBatches

__all__ = ["MaskedBatches", "masked"]


class MaskedBatches:
    """The batches of texts, with words hidden anew in every view of a row.

    Args:
        batches: of the texts.
        words: which are hidden; none if None, and nothing is asked for then.
    """

    reads_student: ClassVar[bool] = False

    def __init__(self, batches: TextBatches, words: MlmMasking | None) -> None:
        self.batches = batches
        self.words = words

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Batch]:
        """The batches of the steps from start_step up to and without stop_step, counted over all epochs from 0."""
        for batch in self.batches.iterate(start_step, stop_step):
            yield masked(batch, self.words)

    @property
    def entries(self) -> int:
        """How many entries a cache has: one for each row."""
        return self.batches.entries

    def query(self, entries: Tensor, views: Tensor) -> tuple[Batch, Any]:
        """What a teacher is asked for these entries of a cache, and where each stands in what it says."""
        batch, positions = self.batches.query(entries, views)
        return masked(batch, self.words), positions

    def view(self, rows: Tensor, views: Tensor) -> Batch:
        """These rows (int64 `[B]`) as a batch; each in the view given for it."""
        return masked(self.batches.view(rows, views), self.words)


def masked(batch: Batch, words: MlmMasking | None) -> Batch:
    """A batch with words hidden in the inputs of all models alike, and asked for in "target", int64 `[B, L]`.

    "masked", bool `[B, L]`, says which these are.
    """
    target = torch.full_like(batch["inputs"]["input_ids"], UNKNOWN)
    if words is None:
        asked = torch.zeros_like(target, dtype=torch.bool)
        return {**batch, "target": target, "masked": asked}
    found = dict(batch)
    rows = batch["index"], batch["view"]
    hidden, target = words.hidden(batch["inputs"]["input_ids"], *rows)
    found["inputs"] = {**batch["inputs"], "input_ids": hidden}
    if "tokens" in batch:
        found["tokens"] = {
            name: {**inputs, "input_ids": words.hidden(inputs["input_ids"], *rows)[0]}
            for name, inputs in batch["tokens"].items()
        }
    known = torch.ones_like(batch["index"], dtype=torch.bool)
    return {**found, "target": target, "masked": target != UNKNOWN, "labelled": known, "unlabelled": ~known}
