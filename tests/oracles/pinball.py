"""The pinball loss (Koenker and Bassett, 1978), quantile by quantile."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pinball(
    student: NDArray[np.float64], target: NDArray[np.float64], *, quantiles: Sequence[float] = (0.05, 0.5, 0.95)
) -> NDArray[np.float64]:
    rows = []
    for predictions, truth in zip(student, target, strict=True):
        losses = [
            q * (truth - value) if truth >= value else (1 - q) * (value - truth)
            for q, value in zip(quantiles, predictions, strict=True)
        ]
        rows.append(math.fsum(losses) / len(quantiles))
    return np.array(rows)
