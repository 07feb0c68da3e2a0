"""Choosing rows so that every class, or every range of a number, keeps its share."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.errors import DataError
from limbeck.hashing import derive, permutation

__all__ = ["choose", "merged", "quantile_bins", "rarest"]

_BINS = 10


def choose(target: Tensor, count: int, seed: int) -> Tensor:
    """Rows drawn from every class in proportion to its size, at least one of each.

    Class c of n_c among n rows gets 1 + (count - K) (n_c - 1) / (n - K) rows for K classes, rounded by largest
    remainder. The rows of a class are taken from one order, which depends on the seed and not on count.

    Args:
        target: int64 `[N]`; each distinct value is one class.
        count: how many rows to draw.
        seed: decides which rows of a class are drawn.

    Returns:
        int64 `[count]`, row numbers in rising order.

    Raises:
        DataError: if there are fewer rows than count, or more classes than count.

    >>> choose(torch.tensor([0, 0, 0, 0, 1, 1]), 3, seed=0)
    tensor([0, 3, 4])
    """
    classes, sizes = torch.unique(target, return_counts=True)
    if not len(classes) <= count <= len(target):
        raise DataError(
            f"cannot draw {count} rows from {len(target)} rows of {len(classes)} classes: "
            f"expected a number from {len(classes)} (one per class) to {len(target)}",
            code="out_of_range",
            path="count",
        )
    quota = _shares(sizes, count)
    chosen = []
    for label, size, share in zip(classes.tolist(), sizes.tolist(), quota.tolist(), strict=True):
        rows = (target == label).nonzero().squeeze(1)
        chosen.append(rows[permutation(derive(seed, label), 0, size)[:share]])
    return torch.cat(chosen).sort().values if chosen else torch.empty(0, dtype=torch.int64)


def rarest(holds: Tensor) -> Tensor:
    """Of the classes that each row holds, the one that the fewest rows hold: what such rows are drawn by.

    Args:
        holds: bool `[N, K]`.

    Returns:
        int64 `[N]`, in 0..K-1; K for a row that holds none. Of classes that are as rare, the first.

    >>> rarest(torch.tensor([[True, True], [True, False], [False, False]]))
    tensor([1, 0, 2])
    """
    rows, classes = holds.shape
    counts = holds.sum(0).expand(rows, classes)
    return torch.where(holds.any(1), counts.masked_fill(~holds, rows + 1).argmin(1), classes)


def quantile_bins(target: Tensor) -> Tensor:
    """The tenth of the rows that each row belongs to, in rising order of its target.

    Of several targets, rows are ordered by the mean of those that are known, each less its mean and divided by its
    standard deviation over the rows.

    Args:
        target: float `[N]` or `[N, K]`; NaN where it is not known.

    Returns:
        int64 `[N]`, in 0..9; -100 where no target is known.

    >>> quantile_bins(torch.tensor([3.0, torch.nan, 1.0])).tolist()
    [5, -100, 0]
    """
    values = target.double().reshape(len(target), -1)
    if values.shape[1] > 1:
        mean = values.nanmean(0)
        deviation = (values - mean).square().nanmean(0).sqrt()
        values = ((values - mean) / deviation.where(deviation > 0, 1.0)).nanmean(1, keepdim=True)
    known = ~values.isnan().squeeze(1)
    order = values[known].squeeze(1).argsort(stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    bins = torch.full((len(target),), -100)
    bins[known] = ranks * _BINS // max(1, len(order))
    return bins


def merged(bins: Tensor, count: int) -> Tensor:
    """Neighbouring bins as one, so that there are at most as many as rows to draw; negative ones stay apart."""
    unknown = int((bins < 0).any())
    return torch.where(bins < 0, bins, bins * min(_BINS, max(1, count - unknown)) // _BINS)


def _shares(sizes: Tensor, count: int) -> Tensor:
    # integers throughout: the remainders are compared exactly, so no rounding decides who gets the last row
    spare = sizes - 1
    total = max(int(spare.sum()), 1)
    scaled = spare * (count - len(sizes))
    shares = 1 + scaled // total
    left = count - int(shares.sum())
    first = torch.argsort(scaled % total, descending=True, stable=True)[:left]
    shares[first] += 1
    return shares
