"""Minus the log-likelihood of independent Bernoulli variables (Cox, 1958), row by row and label by label."""

import math

import numpy as np
from numpy.typing import NDArray


def binary_cross_entropy(student: NDArray[np.float64], target: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = []
    for z, y in zip(student, target, strict=True):
        value = 0.0
        for x, held in zip(z, y, strict=True):
            # The probability of what was seen: sigma(x), or 1 - sigma(x) = sigma(-x).
            value += math.log1p(math.exp(-x if held else x))
        rows.append(value)
    return np.array(rows)
