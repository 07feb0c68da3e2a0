"""The rows of the conformance table for losses between transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from losses.conformance import Arrays, LossCase
from losses.inputs import ROWS, features

Draw = Callable[[np.random.Generator], Arrays]
TOKENS = 4
# The numbers of tokens that are no padding; a sample may be padding alone.
LENGTHS = np.array([4, 1, 3, 2, 0, 4])


def layers(student: list[tuple[int, ...]], teacher: list[tuple[int, ...]]) -> Draw:
    """States of several layers with these shapes behind the axis of rows."""

    def draw(rng: np.random.Generator) -> Arrays:
        return {
            f"{side}.{number}": rng.standard_normal((ROWS, *shape))
            for side, shapes in (("student", student), ("teacher", teacher))
            for number, shape in enumerate(shapes)
        }

    return draw


def related(draw: Draw) -> Draw:
    """Layers of a teacher that are like the student's at the same share of the depth: similarities differ clearly."""

    def draw_all(rng: np.random.Generator) -> Arrays:
        arrays = draw(rng)
        students = [name for name in arrays if name.startswith("student")]
        teachers = [name for name in arrays if name.startswith("teacher")]
        for number, name in enumerate(teachers):
            source = arrays[students[number * len(students) // len(teachers)]]
            mix = rng.standard_normal((source.shape[-1], arrays[name].shape[-1]))
            arrays[name] = source @ mix + 0.3 * arrays[name]
        return arrays

    return draw_all


def projections(
    roles: tuple[str, ...], student: int, teacher: int, *, depths: tuple[int, int] | None = None, padded: bool = True
) -> Draw:
    """Queries, keys or values of these widths, of one layer or of several, with or without padding."""

    def draw(rng: np.random.Generator) -> Arrays:
        arrays = {}
        for side, width, depth in zip(("student", "teacher"), (student, teacher), depths or (1, 1), strict=True):
            for role in roles:
                for number in range(depth):
                    name = f"{side}_{role}.{number}" if depths else f"{side}_{role}"
                    arrays[name] = rng.standard_normal((ROWS, TOKENS, width))
        if padded:
            arrays["attention_mask"] = (np.arange(TOKENS) < LENGTHS[:, None]).astype(np.int64)
        return arrays

    return draw


def between_tokens(name: str, draw: Draw, options: Mapping[str, Any], *, note: str = "", **settings: Any) -> LossCase:
    """Maps of attention are distributions: the divergence of nearly equal ones cancels in float32."""
    return LossCase(name, draw, options, any_leading=False, note=note, **settings)


QUERY_AND_KEY = ("query", "key")
ALL = ("value", "query", "key")

TRANSFORMER_CASES = [
    LossCase("hidden_states_mse", features((3,), (3,)), note="one layer"),
    LossCase("hidden_states_mse", features((3,), (4,)), zero_at_equality=False, note="projected"),
    LossCase("hidden_states_mse", layers([(3,)] * 3, [(3,)] * 3), note="embeddings and layers"),
    LossCase("hidden_states_mse", layers([(3,)] * 3, [(4,)] * 5), zero_at_equality=False, note="embeddings and layers"),
    LossCase(
        "hidden_states_mse",
        layers([(3,), (4,)], [(4,), (3,), (4,)]),
        {"layers": [[0, 1], [1, -1], [-1, 0]], "embeddings": False},
        zero_at_equality=False,
        note="some widths differ",
    ),
    LossCase(
        "hidden_states_mse",
        related(layers([(3,)] * 2, [(4,)] * 5)),
        {"layers": "auto", "embeddings": False},
        zero_at_equality=False,
    ),
    LossCase(
        "hidden_states_mse", layers([(3,)] * 3, [(4,)] * 7), {"layers": "last"}, zero_at_equality=False, note="deeper"
    ),
    LossCase("cosine_hidden", features((3,), (3,)), note="one layer"),
    LossCase("cosine_hidden", layers([(3,)] * 2, [(3,)] * 2), {"layers": "uniform"}),
    LossCase("cosine_hidden", layers([(3,)] * 3, [(4,)] * 4), zero_at_equality=False, note="last, projected"),
    LossCase(
        "cosine_hidden",
        related(layers([(3,)] * 3, [(4,)] * 5)),
        {"layers": "auto", "embeddings": True},
        zero_at_equality=False,
    ),
    LossCase("patient_kd", features((TOKENS, 3), (TOKENS, 3)), any_leading=False, note="one layer"),
    LossCase("patient_kd", features((3,), (3,)), any_leading=False, note="first tokens"),
    LossCase("patient_kd", layers([(TOKENS, 3)] * 4, [(TOKENS, 3)] * 4), any_leading=False, note="equal depth"),
    LossCase(
        "patient_kd",
        layers([(TOKENS, 3)] * 3, [(TOKENS, 4)] * 7),
        {"layers": "skip", "embeddings": False},
        zero_at_equality=False,
        any_leading=False,
    ),
    LossCase(
        "patient_kd",
        layers([(TOKENS, 3)] * 4, [(TOKENS, 3)] * 8),
        {"layers": "last", "embeddings": True},
        zero_at_equality=False,
        any_leading=False,
    ),
    between_tokens(
        "attention_scores",
        projections(QUERY_AND_KEY, 4, 4, padded=False),
        {"student_heads": 2, "teacher_heads": 2},
        note="no padding",
    ),
    between_tokens("attention_scores", projections(QUERY_AND_KEY, 4, 4), {"student_heads": 2, "teacher_heads": 2}),
    between_tokens(
        "attention_scores",
        projections(QUERY_AND_KEY, 4, 6, depths=(2, 4)),
        {"student_heads": 2, "teacher_heads": 2},
        zero_at_equality=False,
        note="layers",
    ),
    between_tokens(
        "attention_scores",
        projections(QUERY_AND_KEY, 4, 6, depths=(2, 3)),
        {"student_heads": 2, "teacher_heads": 3, "layers": "auto"},
        zero_at_equality=False,
    ),
    between_tokens(
        "attention_scores", projections(QUERY_AND_KEY, 4, 4), {"student_heads": 2, "teacher_heads": 2, "on": "maps"}
    ),
    between_tokens(
        "attention_scores",
        projections(QUERY_AND_KEY, 4, 6, depths=(2, 3)),
        {"student_heads": 4, "teacher_heads": 3, "on": "maps", "layers": [[1, 0], [-1, -1]]},
        zero_at_equality=False,
    ),
    between_tokens("value_relation", projections(("value",), 4, 4, padded=False), {"relation_heads": 2}, note="values"),
    between_tokens("value_relation", projections(ALL, 4, 4), {"relation_heads": 2}, note="all"),
    between_tokens(
        "value_relation",
        projections(("value", "key"), 6, 3, depths=(2, 3)),
        {"relation_heads": 3},
        zero_at_equality=False,
        note="values and keys of the last layers",
    ),
    between_tokens(
        "value_relation",
        projections(ALL, 4, 6, depths=(2, 3)),
        {"relation_heads": 1, "layers": "auto"},
        zero_at_equality=False,
    ),
]
