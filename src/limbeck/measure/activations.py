"""Functions of logits, in NumPy and without overflow."""

from __future__ import annotations

import numpy as np

from limbeck.measure.metric import Floats

__all__ = ["log_softmax", "sigmoid", "softplus"]


def log_softmax(logits: Floats) -> Floats:
    """Natural logarithm of softmax over the last axis, finite for every finite input.

    >>> float(log_softmax(np.array([1e4, -1e4]))[1])
    -20000.0
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float64)


def sigmoid(logits: Floats) -> Floats:
    """`1 / (1 + exp(−z))`.

    >>> sigmoid(np.array([-1e4, 0.0])).tolist()
    [0.0, 0.5]
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float64)


def softplus(logits: Floats) -> Floats:
    """`log(1 + exp(z))`; `softplus(−z)` is −log of the probability `sigmoid(z)`.

    >>> softplus(np.array([0.0, 1e4])).tolist()
    [0.6931471805599453, 10000.0]
    """
    return np.asarray(np.logaddexp(0.0, logits), np.float64)
