"""One minus the cosine between hidden states (Sanh et al., 2019, §3), over pairs of layers as a mean."""

import math
from collections.abc import Sequence

import numpy as np

from oracles.hidden_states_mse import chosen_layers, projected
from oracles.layer_maps import Array, Layers


def cosine_hidden(
    student: Layers,
    teacher: Layers,
    *,
    layers: str | Sequence[Sequence[int]] = ((-1, -1),),
    embeddings: bool = True,
    **state: Array,
) -> Array:
    chosen = chosen_layers(student, teacher, layers, embeddings)
    values = [
        [1 - cosine(mine, theirs) for mine, theirs in zip(projected(own, number, state), others, strict=True)]
        for number, (own, others) in enumerate(chosen)
    ]
    return np.array([math.fsum(row) / len(chosen) for row in zip(*values, strict=True)])


def cosine(a: Array, b: Array) -> float:
    return math.fsum(a * b) / math.sqrt(math.fsum(a * a) * math.fsum(b * b))
