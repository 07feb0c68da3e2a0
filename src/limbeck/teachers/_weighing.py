"""How much each member of an ensemble counts for each row."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.errors import ArgumentError

__all__ = ["by_confidence", "by_entropy"]

_unknown = -100
_largest_cost = 1e4  # The cross-entropy of a member that does not know the label's class.


def by_confidence(log_p: Tensor, target: Tensor) -> Tensor:
    """Weights from the cross-entropy of each member with the label; equal ones where the label is not known.

    Args:
        log_p: log-probabilities of the members, ``[M, *, C]``; −∞ for classes that a member does not know.
        target: places among the C classes, ``[*]``; −100 where unknown.

    Returns:
        Weights ``[M, *]`` that sum to 1.
    """
    if target.is_floating_point() or target.shape != log_p.shape[1:-1]:
        raise ArgumentError(
            f"weights by confidence: the target is {target.dtype} {list(target.shape)}, expected one integer class for "
            f"each of the rows {list(log_p.shape[1:-1])} of the logits",
            code="wrong_shape",
            path="target",
        )
    labelled = target != _unknown
    places = target.where(labelled, 0).expand(len(log_p), *target.shape)[..., None]
    costs = -log_p.gather(-1, places).squeeze(-1).clamp(min=-_largest_cost)
    return _reliable(costs.where(labelled, 0))


def by_entropy(log_p: Tensor) -> Tensor:
    """Weights ``[M, *]`` from the entropy of each member's distribution, log-probabilities ``[M, *, C]``."""
    known = log_p > -torch.inf
    return _reliable(-(log_p.exp() * log_p.where(known, 0)).sum(-1))


def _reliable(costs: Tensor) -> Tensor:
    """The lower the cost [M, *], the higher the weight: (1 − exp(cost) / Σ exp(costs)) / (M − 1)."""
    members = len(costs)
    return (1 - costs.softmax(0)) / (members - 1) if members > 1 else torch.ones_like(costs)
