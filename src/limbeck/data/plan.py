"""Which rows each step sees: a pure function of the seed and the step."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from limbeck.errors import ArgumentError, DataError
from limbeck.hashing import derive, permutation

__all__ = ["Plan"]

_EPOCHS, _PASSES, _ROUNDS = range(3)


class Plan:
    """The rows of every batch, known from the step's number alone, so resuming needs no state.

    With labels on all rows or on none, an epoch is a permutation of all rows by (seed, epoch); the last incomplete
    batch is dropped. With labels on some rows, a fixed share of each batch are labelled rows, spread evenly over the
    batch; the others are unlabelled rows by the permutation of (seed, epoch), and an epoch is one walk over these. The
    labelled rows form one endless sequence: pass p over them is permuted by (seed, p), and step s takes the s-th
    stretch of it. With labelled_only, whole batches are such stretches, as many per epoch as with the unlabelled rows;
    this is the plan of a control that has no teacher to learn from on unlabelled rows. With classes, the sequence of
    labelled rows draws every class equally often: in rounds of one row of each class, each class pass after pass over
    its own rows.

    Args:
        labelled: bool `[N]`, the rows whose class is known.
        batch_size: rows per step, over all processes.
        seed: decides the order.
        labelled_share: the share of labelled rows in a batch, where some rows have no label; at least one row of the
            batch is labelled and at least one is not.
        labelled_only: leave the unlabelled rows out.
        classes: int64 `[N]`, the class of each labelled row, to draw them equally; in proportion if None.

    Raises:
        ArgumentError: if batch_size or labelled_share is out of range.
        DataError: if there are too few rows for one batch, or none with a label where labelled_only.

    >>> plan = Plan(torch.tensor([True] * 3 + [False] * 12), batch_size=8, seed=0)
    >>> plan.steps_per_epoch
    2
    >>> rows, views = plan.rows(1)
    >>> (rows < 3).int().tolist()
    [0, 0, 0, 1, 0, 0, 0, 1]
    """

    def __init__(
        self,
        labelled: Tensor,
        *,
        batch_size: int,
        seed: int,
        labelled_share: float = 0.25,
        labelled_only: bool = False,
        classes: Tensor | None = None,
    ) -> None:
        if batch_size < 1:
            raise ArgumentError(f"batch_size is {batch_size}; expected at least 1", path="batch_size")
        if not 0 < labelled_share < 1:
            raise ArgumentError(
                f"labelled_share is {labelled_share}; expected a share between 0 and 1", path="labelled_share"
            )
        known = int(labelled.sum())
        if labelled_only and not known:
            raise DataError(
                f"none of the {len(labelled)} training rows has a label; expected some, or in a recipe control: false",
                code="missing",
                path="labelled",
            )
        mixed = 0 < known < len(labelled)
        self.labelled = labelled
        self.batch_size = batch_size
        self.seed = seed
        self._labelled = labelled.nonzero().squeeze(1)
        self._walked = ((~labelled) if mixed else torch.ones_like(labelled)).nonzero().squeeze(1)
        drawn = _labelled_per_batch(batch_size, labelled_share) if mixed else 0
        self.steps_per_epoch = len(self._walked) // (batch_size - drawn)
        if not self.steps_per_epoch:
            kind = "unlabelled" if mixed else "training"
            raise DataError(
                f"a batch takes {batch_size - drawn} {kind} rows, the data has {len(self._walked)}; "
                f"expected a batch_size (now {batch_size}) that they fill",
                code="too_few",
                path="batch_size",
            )
        only = labelled_only if mixed else classes is not None and known > 0
        self._slots = _spread(batch_size, batch_size if only else drawn)
        self._members = [] if classes is None else _members(self._labelled, classes)

    def epoch(self, step: int) -> int:
        """The epoch that a step belongs to, from 0."""
        return step // self.steps_per_epoch

    def rows(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step, counted over all epochs from 0.

        Returns:
            Row numbers in 0..N-1, int64 `[batch_size]`, and for each the view of it, int64 `[batch_size]`: the epoch,
            or the number of the pass for rows from the sequence of labelled rows.
        """
        rows = torch.empty(self.batch_size, dtype=torch.int64)
        views = torch.empty(self.batch_size, dtype=torch.int64)
        epoch, position = divmod(step, self.steps_per_epoch)
        walked = self.batch_size - int(self._slots.sum())
        if walked:
            order = _order(derive(self.seed, _EPOCHS), epoch, len(self._walked))
            rows[~self._slots] = self._walked[order[position * walked : (position + 1) * walked]]
            views[~self._slots] = epoch
        if walked < self.batch_size:
            rows[self._slots], views[self._slots] = self._stretch(step, self.batch_size - walked)
        return rows, views

    def _stretch(self, step: int, length: int) -> tuple[Tensor, Tensor]:
        if self._members:
            return self._balanced(torch.arange(step * length, (step + 1) * length))
        size = len(self._labelled)
        first, last = step * length // size, ((step + 1) * length - 1) // size
        seed = derive(self.seed, _PASSES)
        passes = torch.cat([_order(seed, number, size) for number in range(first, last + 1)])
        start = step * length - first * size
        numbers = torch.arange(first, last + 1).repeat_interleave(size)
        return self._labelled[passes[start : start + length]], numbers[start : start + length]

    def _balanced(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The rows at these positions of the sequence that draws every class once in each round."""
        count = len(self._members)
        rounds = positions // count
        orders = {number: _order(derive(self.seed, _ROUNDS), number, count) for number in torch.unique(rounds).tolist()}
        labels = torch.stack([orders[number] for number in rounds.tolist()])
        labels = labels.gather(1, (positions % count)[:, None]).squeeze(1)
        rows, views = torch.empty_like(positions), torch.empty_like(positions)
        for label in torch.unique(labels).tolist():
            drawn, members = labels == label, self._members[label]
            views[drawn] = rounds[drawn] // len(members)
            seed = derive(self.seed, _PASSES, label)
            for number in torch.unique(views[drawn]).tolist():
                here = drawn & (views == number)
                rows[here] = members[_order(seed, number, len(members))[rounds[here] % len(members)]]
        return rows, views


def _members(labelled: Tensor, classes: Tensor) -> list[Tensor]:
    known = classes[labelled]
    return [labelled[known == label] for label in torch.unique(known).tolist()]


def _labelled_per_batch(batch_size: int, share: float) -> int:
    if batch_size < 2:
        raise ArgumentError(
            f"batch_size is {batch_size}; expected at least 2, as only some rows have a label", path="batch_size"
        )
    return min(max(round(batch_size * share), 1), batch_size - 1)


def _spread(batch_size: int, labelled: int) -> Tensor:
    # evenly, so that every contiguous slice (a process's rows, a micro-batch) holds its share of labelled rows
    with_full_batches = torch.arange(batch_size + 1) * labelled // batch_size
    return with_full_batches.diff() > 0


@lru_cache(maxsize=256)
def _order(seed: int, epoch: int, n: int) -> Tensor:
    return permutation(seed, epoch, n)
