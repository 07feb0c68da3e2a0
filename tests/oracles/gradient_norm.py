"""Weights that make the norms of weighted gradients equal, and gradients of means by finite differences."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def norm(mean: Callable[[Array], float], at: Array, size: float = 1e-6) -> float:
    """The norm of a mean's gradient with respect to an array, by central differences."""
    total = 0.0
    for place in np.ndindex(at.shape):
        ends = []
        for sign in (1, -1):
            moved = at.copy()
            moved[place] += sign * size
            ends.append(mean(moved))
        total += ((ends[0] - ends[1]) / (2 * size)) ** 2
    return float(np.sqrt(total))


def two_weights(hard: float, soft: float) -> tuple[float, float]:
    """Those of the hard and of the soft term: α |soft| = (1 − α) |hard|."""
    alpha = hard / (hard + soft)
    return 1 - alpha, alpha


def equal_weights(norms: list[float]) -> list[float]:
    """The solution of w_k n_k = w_1 n_1 for all k, with Σ w = 1, of these linear equations as they are written."""
    size = len(norms)
    rows, right = np.zeros((size, size)), np.zeros(size)
    rows[0], right[0] = 1.0, 1.0
    for k in range(1, size):
        rows[k, 0], rows[k, k] = -norms[0], norms[k]
    return list(np.linalg.solve(rows, right))


def smoothed(norms: list[float], smoothing: float) -> float:
    """The exponential mean, as the weighted mean of what it has seen."""
    shares = [smoothing ** (len(norms) - 1 - i) for i in range(len(norms))]
    return sum(share * norm for share, norm in zip(shares, norms, strict=True)) / sum(shares)
