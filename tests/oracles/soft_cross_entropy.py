"""T² times the cross-entropy of q under p (Hinton et al., 2015, eq. 1 and §2), row by row."""

import math

import numpy as np
from numpy.typing import NDArray

from oracles.softmax import softmax


def soft_cross_entropy(
    student: NDArray[np.float64],
    teacher: NDArray[np.float64],
    *,
    temperature: float = 1.0,
    standardize: bool = False,
) -> NDArray[np.float64]:
    rows = []
    for z, v in zip(student, teacher, strict=True):
        p, q = softmax(v, temperature, standardize), softmax(z, temperature, standardize)
        rows.append(temperature**2 * math.fsum(-a * math.log(b) for a, b in zip(p, q, strict=True)))
    return np.array(rows)
