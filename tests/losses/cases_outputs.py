"""The rows of the conformance table for losses between outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from losses.conformance import Arrays, LossCase
from losses.inputs import CLASSES, ROWS, logits_and_labels, logits_and_logits

Draw = Callable[[np.random.Generator], Arrays]


def logits_twice_and_labels(rng: np.random.Generator) -> Arrays:
    return {**logits_and_logits(rng), "target": rng.integers(0, CLASSES, ROWS)}


def logits_and_answers(rng: np.random.Generator) -> Arrays:
    """A row without any label is one of them."""
    answers = rng.integers(0, 2, (ROWS, CLASSES))
    answers[1] = 0
    return {"student": 2 * rng.standard_normal((ROWS, CLASSES)), "target": answers}


def quantities(rng: np.random.Generator) -> Arrays:
    return {name: rng.standard_normal((ROWS, 3)) for name in ("student", "teacher", "target")}


def numbers(rng: np.random.Generator) -> Arrays:
    return {name: rng.standard_normal(ROWS) for name in ("student", "target")}


def quantiles_and_numbers(rng: np.random.Generator) -> Arrays:
    return {"student": rng.standard_normal((ROWS, 3)), "target": rng.standard_normal(ROWS)}


def more_classes_than_rows(rng: np.random.Generator) -> Arrays:
    return {name: 2 * rng.standard_normal((ROWS, ROWS + 3)) for name in ("student", "teacher")}


def relational(name: str, inputs: Draw = logits_and_logits, *, note: str = "", **options: Any) -> LossCase:
    return LossCase(name, inputs, options, relational=True, any_leading=False, note=note)


SOFTENED: dict[str, Any] = {"temperature": 2.0, "standardize": True}

# Weights are sums of powers of two, so that float32 holds them exactly.
OUTPUT_CASES = [
    LossCase("binary_cross_entropy", logits_and_answers, zero_at_equality=False),
    LossCase("binary_kd", logits_and_logits),
    LossCase("binary_kd", logits_and_logits, {"temperature": 4.0}),
    LossCase("cross_entropy", logits_and_labels, zero_at_equality=False),
    LossCase("cross_entropy", logits_and_labels, {"label_smoothing": 0.1}, zero_at_equality=False),
    LossCase("cross_entropy", logits_and_labels, {"class_weights": [0.5, 2.0, 0.0, 1.25, 1.0]}, zero_at_equality=False),
    LossCase(
        "cross_entropy",
        logits_and_labels,
        {"label_smoothing": 0.1, "class_weights": [0.5, 2.0, 0.0, 1.25, 1.0]},
        zero_at_equality=False,
    ),
    LossCase("decoupled_kd", logits_twice_and_labels),
    LossCase("decoupled_kd", logits_twice_and_labels, {"alpha": 0.5, "beta": 2.0, "temperature": 1.0}),
    LossCase("decoupled_kd", logits_twice_and_labels, SOFTENED),
    relational("dist"),
    relational("dist", beta=2.0, gamma=0.5, temperature=4.0),
    relational("dist", **SOFTENED),
    LossCase("generalized_jsd", logits_and_logits),
    LossCase("generalized_jsd", logits_and_logits, {"beta": 0.0, "temperature": 2.0}),
    LossCase("generalized_jsd", logits_and_logits, {"beta": 0.1, "temperature": 4.0}),
    LossCase("generalized_jsd", logits_and_logits, {"beta": 1.0}),
    LossCase("generalized_jsd", logits_and_logits, {"beta": 0.75, **SOFTENED}),
    LossCase("kl_divergence", logits_and_logits),
    LossCase("kl_divergence", logits_and_logits, {"temperature": 4.0}),
    LossCase("kl_divergence", logits_and_logits, SOFTENED),
    LossCase("mse_logits", logits_and_logits),
    LossCase("mse_regression", quantities),
    LossCase("pinball", quantiles_and_numbers, zero_at_equality=False),
    LossCase("pinball", quantiles_and_numbers, {"quantiles": [0.2, 0.3, 0.9]}, zero_at_equality=False),
    LossCase("squared_error", numbers, zero_at_equality=False),
    LossCase("mse_regression", quantities, {"margin": 0.5}, zero_at_equality=False),
    relational("multi_level_logits"),
    relational("multi_level_logits", more_classes_than_rows, temperatures=[1.0, 4.0], note="many classes"),
    relational("multi_level_logits", temperatures=[2.0], standardize=True),
    LossCase("reverse_kl", logits_and_logits),
    LossCase("reverse_kl", logits_and_logits, {"temperature": 4.0}),
    LossCase("reverse_kl", logits_and_logits, SOFTENED),
    LossCase("soft_cross_entropy", logits_and_logits, zero_at_equality=False),
    LossCase("soft_cross_entropy", logits_and_logits, {"temperature": 4.0}, zero_at_equality=False),
    LossCase("soft_cross_entropy", logits_and_logits, SOFTENED, zero_at_equality=False),
    LossCase("total_variation", logits_and_logits),
    LossCase("total_variation", logits_and_logits, {"temperature": 4.0}),
    LossCase("total_variation", logits_and_logits, SOFTENED),
    LossCase("weighted_soft_label", logits_twice_and_labels, zero_at_equality=False, held_constant=True),
    LossCase("weighted_soft_label", logits_twice_and_labels, SOFTENED, zero_at_equality=False, held_constant=True),
]
