"""Rules that pair layers of the student with layers of the teacher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from torch import Tensor

from limbeck.errors import ArgumentError, suggest

__all__ = ["LayerRule", "Layers", "as_layers", "check_rule", "layer_map", "mean_over_layers", "pair_layers"]

LayerRule: TypeAlias = Literal["uniform", "last", "skip", "auto"] | Sequence[tuple[int, int]]
Layers: TypeAlias = Tensor | Sequence[Tensor]
_rules = ("uniform", "last", "skip", "auto")


def layer_map(
    rule: LayerRule, students: int, teachers: int, *, similarities: Sequence[Sequence[float]] | None = None
) -> list[tuple[int, int]]:
    """The pairs of layers that are compared, as positions from 0.

    With S layers of the student and T ≥ S of the teacher, counted from 1, layer i of the student is paired with

    - `uniform`: layer ⌊i T / S⌋, so that the last is paired with the last;
    - `last`: layer T − S + i;
    - `skip`: layer i ⌊T / S⌋, so every k-th layer, which leaves out the teacher's last layers if S does not divide T;
    - `auto`: layer t(i), where t grows strictly and Σ_i similarity(i, t(i)) is largest; among equal sums, the map with
      the deepest layers of the teacher, compared from the student's last layer.

    Args:
        rule: one of these names, or pairs of positions; negative positions count from the end.
        students: S, the number of the student's layers.
        teachers: T, the number of the teacher's layers.
        similarities: for `auto`, S rows of T numbers.

    Returns:
        Pairs (student, teacher) of positions from 0, S of them for a named rule.

    Raises:
        ArgumentError: if the rule is unknown, a position does not exist, or S > T with a named rule.

    Cost: O(S T) operations, O(S T) memory; O(S) for named rules other than `auto`.

    Example:
        >>> layer_map("uniform", 3, 12), layer_map("last", 3, 12), layer_map([(0, 1), (-1, -1)], 3, 12)
        ([(0, 3), (1, 7), (2, 11)], [(0, 9), (1, 10), (2, 11)], [(0, 1), (2, 11)])
        >>> layer_map("auto", 2, 3, similarities=[[0.9, 0.8, 0.1], [0.7, 0.6, 0.2]])
        [(0, 0), (1, 1)]

    Jiao, Yin, Shang, Jiang, Chen, Li, Wang and Liu, 2020, "TinyBERT: Distilling BERT for Natural Language
    Understanding", arXiv:1909.10351 (uniform). Sun, Cheng, Gan and Liu, 2019, "Patient Knowledge Distillation for BERT
    Model Compression", arXiv:1908.09355 (last and skip).
    """
    check_rule("layer_map", rule)
    if students < 1 or teachers < 1:
        raise ArgumentError(
            f"layer_map: {students} layers of the student and {teachers} of the teacher; give both one",
            code="missing",
            path="layers",
        )
    if not isinstance(rule, str):
        return [(_position("student", s, students), _position("teacher", t, teachers)) for s, t in rule]
    if students > teachers:
        raise ArgumentError(
            f"layer_map: {rule!r} gives each of {students} layers of the student one of the teacher's own, but there "
            f"are {teachers}; give pairs, as in [[0, 0], [1, 0]]",
            code="mismatch",
            path="layers",
        )
    if rule == "auto":
        return list(enumerate(_most_similar(similarities, students, teachers)))
    if rule == "uniform":
        return [(layer, (layer + 1) * teachers // students - 1) for layer in range(students)]
    if rule == "last":
        return [(layer, teachers - students + layer) for layer in range(students)]
    return [(layer, (layer + 1) * (teachers // students) - 1) for layer in range(students)]


def _position(side: str, layer: int, layers: int) -> int:
    if not -layers <= layer < layers:
        raise ArgumentError(
            f"layer_map: there is no layer {layer} of the {side}, which gives {layers}; count from 0, or from -1 back",
            path="layers",
        )
    return layer % layers


def _most_similar(similarities: Sequence[Sequence[float]] | None, students: int, teachers: int) -> list[int]:
    if similarities is None or [len(row) for row in similarities] != [teachers] * students:
        raise ArgumentError(
            f"layer_map: 'auto' needs similarities, {students} rows of {teachers} numbers",
            code="missing",
            path="similarities",
        )
    if not all(math.isfinite(similarity) for row in similarities for similarity in row):
        raise ArgumentError(
            "layer_map: similarities are not finite; look for NaN in the features of 'auto'",
            code="not_finite",
            path="similarities",
        )
    # best[i][j]: the largest sum for the first i layers of the student among the first j of the teacher.
    best = [[0.0] * (teachers + 1)] + [[-math.inf] * (teachers + 1) for _ in range(students)]
    for i, row in enumerate(similarities, start=1):
        for j in range(i, teachers + 1):
            best[i][j] = max(best[i][j - 1], best[i - 1][j - 1] + row[j - 1])
    chosen: list[int] = []
    j = teachers
    for i in range(students, 0, -1):
        while best[i][j] != best[i - 1][j - 1] + similarities[i - 1][j - 1]:
            j -= 1
        j -= 1
        chosen.append(j)
    return chosen[::-1]


def check_rule(operation: str, rule: LayerRule) -> None:
    """Reject an unknown name, and anything but a list of pairs of positions."""
    if isinstance(rule, str):
        if rule not in _rules:
            raise ArgumentError(
                f"{operation}: no layer map {rule!r}.{suggest(rule, _rules)}", code="unknown_name", path="layers"
            )
    elif not rule or not all(len(pair) == 2 and all(isinstance(layer, int) for layer in pair) for pair in rule):
        raise ArgumentError(
            f"{operation}: layers is {rule!r}, expected a name or pairs of positions (student, teacher), as in "
            f"[[0, 1], [1, 3]]",
            path="layers",
        )


def as_layers(layers: Layers) -> list[Tensor]:
    """The layers as a list; a single tensor is one layer."""
    return [layers] if isinstance(layers, Tensor) else list(layers)


def pair_layers(operation: str, *sides: Layers) -> list[tuple[Tensor, ...]]:
    """The first layers of all sides, then the second layers, and so on.

    Raises:
        ArgumentError: if there is no layer, or the sides have different numbers of them.
    """
    layers = [as_layers(side) for side in sides]
    if not layers[0] or len({len(side) for side in layers}) > 1:
        raise ArgumentError(
            f"{operation}: {', '.join(str(len(side)) for side in layers)} layers are given, expected equal numbers and "
            f"at least one; choose pairs with layer_map, as the module in limbeck.losses does",
            code="mismatch",
            path="layers",
        )
    return list(zip(*layers, strict=True))


def mean_over_layers(values: Sequence[Tensor]) -> Tensor:
    """The mean of values of one shape."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total if len(values) == 1 else total / len(values)
