"""Mean squared error of hidden states, projected where widths differ (Jiao et al., 2020, §3.1), as a mean."""

import math
from collections.abc import Sequence

import numpy as np

from oracles.layer_maps import Array, Layers, listed, pairs


def hidden_states_mse(
    student: Layers,
    teacher: Layers,
    *,
    layers: str | Sequence[Sequence[int]] = "uniform",
    embeddings: bool = True,
    **state: Array,
) -> Array:
    chosen = chosen_layers(student, teacher, layers, embeddings)
    if isinstance(layers, str) and embeddings and not isinstance(student, np.ndarray):
        chosen = [(student[0], teacher[0]), *chosen]
    values = [
        [math.fsum((a - b) ** 2 for a, b in zip(mine, theirs, strict=True)) / len(theirs) for mine, theirs in rows]
        for rows in (
            zip(projected(own, number, state), others, strict=True) for number, (own, others) in enumerate(chosen)
        )
    ]
    return np.array([math.fsum(row) / len(chosen) for row in zip(*values, strict=True)])


def chosen_layers(
    student: Layers, teacher: Layers, layers: str | Sequence[Sequence[int]], embeddings: bool
) -> list[tuple[Array, Array]]:
    """The paired layers; rules with a name do not count the embeddings."""
    counted = [
        side[1:] if isinstance(layers, str) and embeddings and not isinstance(side, np.ndarray) else listed(side)
        for side in (student, teacher)
    ]
    return [(counted[0][s], counted[1][t]) for s, t in pairs(layers, *counted)]


def projected(states: Array, number: int, state: dict[str, Array]) -> Array:
    """W h + b by the weights of this pair, or h if it has none."""
    weight = state.get(f"projections_projections_{number}_weight")
    if weight is None:
        return states
    bias = state[f"projections_projections_{number}_bias"]
    return np.array([[math.fsum(w * row) + b for w, b in zip(weight, bias, strict=True)] for row in states])
