"""Class weights by inverse frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape

__all__ = ["inverse_frequency"]

_NO_LABEL = -100


def inverse_frequency(target: Tensor, *, classes: int) -> Tensor:
    """A weight for each class, inverse to its number of rows, with a mean of 1 over all labelled rows.

    w_c = N / (K n_c), with n_c rows of class c, N labelled rows in total and K classes that occur. A class that does
    not occur gets the weight 0. `cross_entropy` takes the weights as `class_weights`. For any other loss with one value
    per row, give the `scale` of its term a batch entry that holds `weights[target]`, such as the `class_weight` of
    `limbeck.data.Batches`. Losses over a whole batch cannot be weighted.

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
            f"inverse_frequency: target is {target.dtype} of shape {shape(target)}, expected int64 class numbers",
            code="wrong_shape",
            path="target",
        )
    labelled = target[target != _NO_LABEL]
    if len(labelled) == 0:
        raise ArgumentError(
            f"inverse_frequency: none of {target.numel()} rows has a label, expected at least one",
            code="missing",
            path="target",
        )
    low, high = int(labelled.min()), int(labelled.max())
    if low < 0 or high >= classes:
        raise ArgumentError(
            f"inverse_frequency: class numbers go from {low} to {high}, expected 0..{classes - 1}; "
            f"mark rows without a label by {_NO_LABEL}",
            path="target",
        )
    counts = torch.bincount(labelled, minlength=classes).to(torch.float64)
    occurs = counts > 0
    weights = len(labelled) / (occurs.sum() * counts.clamp(min=1))
    return weights.where(occurs, 0).to(torch.float32)
