"""Squared distance of the first token's normalized states (Sun et al., 2019, §3.2), as the mean of the code."""

import math
from collections.abc import Sequence

import numpy as np

from oracles.hidden_states_mse import chosen_layers, projected
from oracles.layer_maps import Array, Layers


def patient_kd(
    student: Layers,
    teacher: Layers,
    *,
    layers: str | Sequence[Sequence[int]] = "skip",
    embeddings: bool = True,
    **state: Array,
) -> Array:
    chosen = chosen_layers(student, teacher, layers, embeddings)
    if isinstance(layers, str) and len(chosen) > 1:
        chosen = chosen[:-1]
    values = []
    for number, (own, others) in enumerate(chosen):
        first = own if own.ndim == 2 else own[:, 0]
        wanted = others if others.ndim == 2 else others[:, 0]
        values.append([_distance(a, b) for a, b in zip(projected(first, number, state), wanted, strict=True)])
    return np.array([math.fsum(row) / len(chosen) for row in zip(*values, strict=True)])


def _distance(a: Array, b: Array) -> float:
    a, b = a / math.sqrt(math.fsum(a * a)), b / math.sqrt(math.fsum(b * b))
    return math.fsum((a - b) ** 2) / len(a)
