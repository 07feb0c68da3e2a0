"""Attention of one sample, head and pair of tokens at a time, over the tokens that are no padding.

Squared differences of the scores (Jiao et al., 2020, §3.1), divergence of the maps (Wang et al., 2020, §3.1).
"""

import math
from collections.abc import Sequence

import numpy as np

from oracles.layer_maps import Array, Layers, listed, pairs
from oracles.softmax import kl, softmax

Maps = list[list[list[float]]]


def attention_scores(
    student_query: Layers,
    student_key: Layers,
    teacher_query: Layers,
    teacher_key: Layers,
    attention_mask: Array | None = None,
    *,
    student_heads: int,
    teacher_heads: int,
    on: str = "scores",
    layers: str | Sequence[Sequence[int]] = "uniform",
    **chosen: Array,
) -> Array:
    given = [listed(side) for side in (student_query, student_key, teacher_query, teacher_key)]
    together = [
        [np.concatenate([query, key], axis=-1) for query, key in zip(*given[side : side + 2], strict=True)]
        for side in (0, 2)
    ]
    values = []
    for s, t in pairs(layers, *together, attention_mask):
        of_rows = []
        for row in range(len(given[0][0])):
            tokens = admitted(attention_mask, row, given[0][0].shape[1])
            own = scores(given[0][s][row][tokens], given[1][s][row][tokens], student_heads)
            others = scores(given[2][t][row][tokens], given[3][t][row][tokens], teacher_heads)
            of_rows.append(of_scores(own, others) if on == "scores" else of_maps(own, others))
        values.append(of_rows)
    return np.mean(np.array(values), axis=0)


def admitted(attention_mask: Array | None, row: int, tokens: int) -> list[int]:
    return [token for token in range(tokens) if attention_mask is None or attention_mask[row, token]]


def scores(query: Array, key: Array, heads: int) -> Maps:
    """[head][i][j], from features [tokens, heads × size]."""
    size = query.shape[1] // heads
    parts = [slice(head * size, (head + 1) * size) for head in range(heads)]
    return [[[math.fsum(q[part] * k[part]) / math.sqrt(size) for k in key] for q in query] for part in parts]


def of_scores(own: Maps, others: Maps) -> float:
    if len(own) != len(others):
        own, others = _mean_of_heads(own), _mean_of_heads(others)
    squares = [
        (a - b) ** 2
        for mine, theirs in zip(own, others, strict=True)
        for row, wanted in zip(mine, theirs, strict=True)
        for a, b in zip(row, wanted, strict=True)
    ]
    return math.fsum(squares) / len(squares) if squares else 0.0


def of_maps(own: Maps, others: Maps) -> float:
    own, others = ([[softmax(np.array(row), 1.0) for row in head] for head in side] for side in (own, others))
    if len(own) != len(others):
        own, others = _mean_of_heads(own), _mean_of_heads(others)
    divergences = [
        kl(wanted, row)
        for mine, theirs in zip(own, others, strict=True)
        for row, wanted in zip(mine, theirs, strict=True)
    ]
    return math.fsum(divergences) / len(divergences) if divergences else 0.0


def _mean_of_heads(maps: Maps) -> Maps:
    return [[[math.fsum(values) / len(maps) for values in zip(*rows, strict=True)] for rows in zip(*maps, strict=True)]]
