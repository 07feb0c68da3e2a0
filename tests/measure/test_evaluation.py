from __future__ import annotations

import json

import numpy as np
import pytest

from limbeck.errors import ArgumentError
from limbeck.measure import Accuracy, Comparison, Evaluation, MetricInfo, NegativeLogLikelihood, evaluate


@pytest.fixture(scope="module")
def found() -> Evaluation:
    random = np.random.default_rng(0)
    logits = {name: list(random.normal(size=(seeds, 60, 4))) for name, seeds in (("teacher", 1), ("student", 2))}
    return evaluate(
        logits, random.integers(0, 4, 60), reference="teacher", comparisons=[("student", "teacher")], draws=100
    )


def test_json_has_the_keys_of_results_json(found: Evaluation) -> None:
    plain = found.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) == {"metrics", "models", "comparisons"}
    student = plain["models"]["student"]
    assert set(student) == {"metrics", "scope", "seeds", "reliability", "confusion", "breakdown"}
    assert set(student["metrics"]["accuracy"]) == {"value", "low", "high"}
    assert len(student["seeds"]) == 2
    assert student["seeds"][0].keys() == student["metrics"].keys()
    assert set(student["reliability"][0]) == {"low", "high", "count", "confidence", "accuracy"}
    assert set(plain["comparisons"][0]) == {"a", "b", "metric", "difference", "low", "high", "scope"}
    assert plain["comparisons"][0]["scope"] == "rows+seeds"


def test_a_comparison_is_found_by_pair_and_metric(found: Evaluation) -> None:
    assert found.comparison("student", "teacher", "brier_score") in found.comparisons
    with pytest.raises(
        ArgumentError, match="teacher - student on 'accuracy'; pairs that were compared: student - teacher"
    ):
        found.comparison("teacher", "student")


@pytest.mark.parametrize(("low", "high", "clear"), [(0.1, 0.2, True), (-0.2, -0.1, True), (0.0, 0.1, False)])
def test_a_bound_of_0_is_not_clear(low: float, high: float, clear: bool) -> None:
    assert Comparison("a", "b", Accuracy().info, 0.0, low, high, "rows", 1).clear is clear


@pytest.mark.parametrize(
    ("info", "low", "high", "better", "worse"),
    [
        (Accuracy().info, 0.1, 0.2, True, False),
        (Accuracy().info, -0.2, -0.1, False, True),
        (NegativeLogLikelihood().info, 0.1, 0.2, False, True),
        (NegativeLogLikelihood().info, -0.2, -0.1, True, False),
        (NegativeLogLikelihood().info, -0.2, 0.1, False, False),
    ],
)
def test_the_direction_of_the_metric_decides_what_is_better(
    info: MetricInfo, low: float, high: float, better: bool, worse: bool
) -> None:
    comparison = Comparison("a", "b", info, (low + high) / 2, low, high, "rows+seeds", 3)
    assert (comparison.is_better, comparison.is_worse) == (better, worse)


def test_metrics_are_described(found: Evaluation) -> None:
    described = found.to_json()["metrics"]
    assert described["accuracy"]["bounds"] == [0.0, 1.0]
    assert described["teacher_kl"] == {
        "title": "KL divergence to the teacher",
        "unit": "nats",
        "higher_is_better": False,
        "is_share": False,
        "bounds": [0.0, None],
        "needs_reference": True,
        "column": "",
        "hub": {},
    }
