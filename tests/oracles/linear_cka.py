"""Linear CKA by Gram matrices, HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) (Kornblith et al., 2019, §3)."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def linear_cka(student: Array, teacher: Array) -> float:
    own, others = _gram(student), _gram(teacher)
    return _hsic(own, others) / math.sqrt(_hsic(own, own) * _hsic(others, others))


def _gram(features: Array) -> Array:
    rows = features.reshape(len(features), -1)
    return np.array([[math.fsum(a * b) for b in rows] for a in rows])


def _hsic(k: Array, l: Array) -> float:  # noqa: E741  # the letters of the paper
    n = len(k)
    centring = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(centring @ k @ centring @ l)) / (n - 1) ** 2
