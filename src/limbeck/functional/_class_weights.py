"""Weights of classes by how rare they are."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape

__all__ = ["inverse_frequency"]

_NO_LABEL = -100


def inverse_frequency(target: Tensor, *, classes: int) -> Tensor:
    """For each class, a weight that is inverse to its number of rows; the mean over all labelled rows is 1.

    w_c = N / (K n_c), with n_c rows of class c, N labelled rows in all and K classes that have one. A class never seen
    gets 0. `cross_entropy` takes the weights as `class_weights`. Any loss that gives one value for each row takes them
    through its term's `scale`, from a batch that holds `weights[target]`, as `limbeck.data.Batches` gives in
    `class_weight`; a loss over a whole batch has no rows to weigh.

    Args:
        target: the class numbers of all training rows, int64, −100 where unknown.
        classes: C, the number of classes.

    Returns:
        The weights `[C]`, float32.

    Raises:
        ArgumentError: if the target is not int64, a class number is out of range, or no row has a label.

    Cost: O(N + C) operations, O(N + C) memory, for N rows.

    Example:
        >>> import torch
        >>> inverse_frequency(torch.tensor([0, 0, 0, 1, -100]), classes=3)
        tensor([0.6667, 2.0000, 0.0000])

    King and Zeng, 2001, "Logistic Regression in Rare Events Data", Political Analysis 9(2), 137-163,
    doi:10.1093/oxfordjournals.pan.a004868 (weighting by inverse frequency).
    """
    if target.dtype != torch.int64:
        raise ArgumentError(
            f"inverse_frequency: target is {target.dtype} of shape {shape(target)}, expected int64 class numbers"
        )
    known = target[target != _NO_LABEL]
    if len(known) == 0:
        raise ArgumentError(f"inverse_frequency: none of {target.numel()} rows has a label, expected at least one")
    low, high = int(known.min()), int(known.max())
    if low < 0 or high >= classes:
        raise ArgumentError(
            f"inverse_frequency: class numbers go from {low} to {high}, expected 0..{classes - 1}; "
            f"mark rows without a label by {_NO_LABEL}"
        )
    counts = torch.bincount(known, minlength=classes).to(torch.float64)
    seen = counts > 0
    weights = len(known) / (seen.sum() * counts.clamp(min=1))
    return weights.where(seen, 0).to(torch.float32)
