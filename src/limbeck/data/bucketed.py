"""A plan whose batches hold rows of about one length."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from limbeck.data.plan import Plan
from limbeck.hashing import derive, permutation

__all__ = ["Bucketed"]

_POOL = 32
_STEPS = 3


class Bucketed:
    """The rows of a plan, put in order of length within stretches of 32 steps: less is spent on padding.

    Each stretch of an epoch holds the rows that the plan has there. Labelled rows stay in the positions of labelled
    rows, the others in those of the others; the order of the batches of a stretch is drawn by (seed, stretch). So what
    a step sees is a function of the seed and its number, as in the plan.

    Args:
        plan: which rows.
        lengths: int64 `[N]`, of all rows.

    >>> plan = Plan(torch.ones(64, dtype=torch.bool), batch_size=4, seed=0)
    >>> rows, _ = Bucketed(plan, torch.arange(64)).rows(3)
    >>> int(rows.max() - rows.min())
    3
    """

    def __init__(self, plan: Plan, lengths: Tensor) -> None:
        self.plan = plan
        self._lengths = lengths
        self._pool = lru_cache(maxsize=4)(self._arranged)

    def rows(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step, as in `Plan.rows`."""
        epoch, position = divmod(step, self.plan.steps_per_epoch)
        rows, views = self._pool(epoch, position // _POOL)
        return rows[position % _POOL], views[position % _POOL]

    def _arranged(self, epoch: int, pool: int) -> tuple[Tensor, Tensor]:
        start, length = pool * _POOL, self.plan.steps_per_epoch
        steps = range(epoch * length + start, epoch * length + min(start + _POOL, length))
        planned = [self.plan.rows(step) for step in steps]
        rows, views = (torch.stack(column) for column in zip(*planned, strict=True))
        labelled = self.plan.labelled[rows]
        for kind in (labelled, ~labelled):
            order = self._lengths[rows[kind]].argsort(stable=True)
            rows[kind], views[kind] = rows[kind][order], views[kind][order]
        mixed = permutation(derive(self.plan.seed, _STEPS), steps.start, len(steps))
        return rows[mixed], views[mixed]
