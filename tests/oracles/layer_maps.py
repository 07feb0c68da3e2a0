"""Layer maps by their definitions, by trying all candidates (Jiao et al., 2020, §3.1; Sun et al., 2019, §3.2)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oracles.linear_cka import linear_cka

Array = NDArray[np.float64]
Layers = Array | Sequence[Array]


def listed(layers: Layers) -> list[Array]:
    return [layers] if isinstance(layers, np.ndarray) else list(layers)


def pairs(
    rule: str | Sequence[Sequence[int]], student: Layers, teacher: Layers, tokens: Array | None = None
) -> list[tuple[int, int]]:
    """Positions (student, teacher); `auto` is read off the features of the tokens that count."""
    students, teachers = listed(student), listed(teacher)
    if not isinstance(rule, str):
        return [(range(len(students))[s], range(len(teachers))[t]) for s, t in rule]
    return list(enumerate(_partners(rule, students, teachers, tokens)))


def _partners(rule: str, students: list[Array], teachers: list[Array], tokens: Array | None) -> list[int]:
    depth = len(teachers)
    if rule == "auto":
        similar = [[linear_cka(_rows(s, tokens), _rows(t, tokens)) for t in teachers] for s in students]
        candidates = itertools.combinations(range(depth), len(students))
        return list(max(candidates, key=lambda chosen: sum(similar[s][t] for s, t in enumerate(chosen))))
    if rule == "last":
        return list(range(depth))[-len(students) :]
    if rule == "skip":
        every = max(k for k in range(1, depth + 1) if k * len(students) <= depth)
        return [layer for layer in range(depth) if (layer + 1) % every == 0][: len(students)]
    assert rule == "uniform"
    # The deepest layer whose share of the depth is not larger than the student's.
    return [
        max(layer for layer in range(depth) if (layer + 1) / depth <= (s + 1) / len(students) + 1e-9)
        for s in range(len(students))
    ]


def _rows(layer: Array, tokens: Array | None) -> Array:
    rows = layer.reshape(-1, layer.shape[-1])
    return rows if tokens is None else rows[tokens.reshape(-1) != 0]
