"""T² KL(p ‖ q) of two rows of logits (Hinton et al., 2015, §2; Kullback and Leibler, 1951), row by row."""

import numpy as np
from numpy.typing import NDArray

from oracles.softmax import kl, softmax


def kl_divergence(
    student: NDArray[np.float64],
    teacher: NDArray[np.float64],
    *,
    temperature: float = 1.0,
    standardize: bool = False,
) -> NDArray[np.float64]:
    rows = []
    for z, v in zip(student, teacher, strict=True):
        rows.append(temperature**2 * kl(softmax(v, temperature, standardize), softmax(z, temperature, standardize)))
    return np.array(rows)
