"""The squared error, number by number."""

import numpy as np
from numpy.typing import NDArray


def squared_error(student: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([(a - b) * (a - b) for a, b in zip(student.ravel(), target.ravel(), strict=True)]).reshape(
        student.shape
    )
