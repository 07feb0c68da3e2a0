"""What a task supplies so that its models are judged: the metrics, the one that decides, and what a row adds to it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from limbeck import registry
from limbeck.errors import ArgumentError
from limbeck.measure import (
    Comparison,
    MaskedWordScoring,
    MultiLabel,
    Scoring,
    SingleLabel,
    Tagging,
    evaluate,
    main_score,
    verdict,
)
from limbeck.measure.intervals import Resamples
from limbeck.measure.metrics import Floats, Integers

RANDOM = np.random.default_rng(0)
ROWS, LONGEST, CLASSES = 60, 7, 4
LENGTHS = RANDOM.integers(1, LONGEST + 1, ROWS)
TARGET = np.where(np.arange(LONGEST) < LENGTHS[:, None], RANDOM.integers(0, CLASSES, (ROWS, LONGEST)), -100)


def skilled(skill: float) -> Floats:
    noise = RANDOM.normal(size=(ROWS, LONGEST, CLASSES))
    return np.asarray(noise + skill * np.eye(CLASSES)[TARGET.clip(0)], np.float64)


class ShareOfParts:
    """Right parts over known parts: the rows are of different lengths, so this is no mean of rows."""

    higher_is_better: ClassVar = True
    needs_teacher: ClassVar = False
    bounds: ClassVar = (0.0, 1.0)
    points: ClassVar = True

    def rows(self, logits: Floats, target: Integers, teacher: Floats | None) -> Floats:
        known = target != -100
        return np.stack([((logits.argmax(-1) == target) & known).sum(1), known.sum(1)], 1).astype(np.float64)

    def value(self, means: Floats) -> Floats:
        return np.asarray(means[..., 0] / means[..., 1], np.float64)


class Parts(SingleLabel):
    """Logits [N, T, C] and targets [N, T]."""

    metrics: ClassVar = ("share_of_parts",)

    def check(self, target: Any, shape: tuple[int, ...]) -> None:
        if target.shape != shape[:-1]:
            raise ArgumentError(f"targets {target.shape} for logits {shape}")

    def reliability(self, logits: Floats, target: Integers) -> tuple[()]:
        return ()

    def confusion(self, logits: Floats, target: Integers) -> tuple[()]:
        return ()


SCORED: dict[str, tuple[Scoring, Any, Any]] = {
    "one class": (SingleLabel(), np.eye(3), [0, 1, 1]),
    "several classes": (MultiLabel(), np.eye(3), np.eye(3, dtype=int)),
    "words": (Tagging(("O", "B-A", "I-A")), np.zeros((2, 4, 3)), np.ones((2, 4), int)),
    "hidden words": (MaskedWordScoring(), np.zeros((2, 3, 2)), np.ones((2, 3), int)),
}
MISPLACED = {
    "one class": ("entity_f1", "masked_accuracy", "masked_perplexity"),
    "several classes": ("entity_f1", "masked_accuracy", "accuracy", "top5_accuracy", "brier_score"),
    "words": ("masked_accuracy", "masked_agreement"),
    "hidden words": ("entity_f1", "accuracy", "macro_f1", "negative_log_likelihood", "brier_score"),
}


@pytest.mark.parametrize(("kind", "metric"), [(kind, one) for kind, names in MISPLACED.items() for one in names])
def test_metrics_of_another_scoring_are_refused_by_name(kind: str, metric: str) -> None:
    scoring, logits, target = SCORED[kind]
    wanted = rf"the metric '{metric}' is not for .*{type(scoring).__name__}; its own are {', '.join(scoring.metrics)}$"
    with pytest.raises(ArgumentError, match=wanted):
        evaluate({"a": [logits]}, target, scoring=scoring, metrics=[metric], draws=100)


def test_metrics_of_another_scoring_that_take_the_same_are_measured() -> None:
    found = evaluate({"a": [np.eye(3)]}, [0, 1, 1], metrics=["micro_f1", "accuracy"], draws=100)
    assert found.models["a"].metrics["micro_f1"].value == found.models["a"].metrics["accuracy"].value


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {kind: dict(known) for kind, known in registry._entries.items()}
    entries["metric"]["share_of_parts"] = ShareOfParts
    monkeypatch.setattr(registry, "_entries", entries)


def share(logits: Floats, rows: Any = slice(None)) -> float:
    known = TARGET[rows] != -100
    return float((logits[rows].argmax(-1) == TARGET[rows])[known].mean())


def test_outputs_of_any_shape_are_measured_and_compared_row_by_row() -> None:
    logits = {"student": [skilled(2.0)], "control": [skilled(0.5)]}
    found = evaluate(logits, TARGET, scoring=Parts(), comparisons=[("student", "control")], draws=200)
    assert list(found.models["student"].metrics) == ["share_of_parts"]
    assert found.models["student"].metrics["share_of_parts"].value == pytest.approx(share(logits["student"][0]))
    # Brute force: whole rows are drawn, and both models are measured on the parts of the same ones.
    counts = Resamples(ROWS, draws=200).counts
    drawn = [np.repeat(np.arange(ROWS), count) for count in counts]
    differences = np.array([share(logits["student"][0], rows) - share(logits["control"][0], rows) for rows in drawn])
    value = share(logits["student"][0]) - share(logits["control"][0])
    bias = differences.mean() - value
    bias = 0.0 if abs(bias) < 4 * differences.std() / np.sqrt(200) else bias
    made = found.comparison("student", "control", "share_of_parts")
    assert made.difference == pytest.approx(value)
    assert (made.low, made.high) == pytest.approx(tuple(np.percentile(differences - bias, [2.5, 97.5])))


def test_the_verdict_is_about_the_metric_that_decides() -> None:
    sentence = verdict(Comparison("student", "control", "share_of_parts", 0.1, 0.05, 0.15, "rows+seeds", seeds=3))
    assert "the student's share of parts is 10.0 points above" in sentence


def test_main_score_is_the_first_metric() -> None:
    logits = skilled(1.0)
    assert main_score(Parts(), logits, TARGET) == {"share_of_parts": pytest.approx(share(logits))}
    single = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert main_score(SingleLabel(), single, np.array([0, 0])) == {"accuracy": 0.5}


def test_what_a_scoring_refuses_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"targets \(60, 6\) for logits \(60, 7, 4\)"):
        evaluate({"student": [skilled(1.0)]}, TARGET[:, :6], scoring=Parts())
    with pytest.raises(ArgumentError, match=r"expected one class number for each row, \[N\], and logits \[N, C\]"):
        evaluate({"student": [skilled(1.0)]}, TARGET)


def test_other_shapes_of_another_model_are_refused() -> None:
    logits = {"student": [skilled(1.0)], "control": [skilled(1.0)[:, :5]]}
    with pytest.raises(ArgumentError, match=r"'control', seed 0, have shape \(60, 5, 4\); expected \(60, 7, 4\)"):
        evaluate(logits, TARGET, scoring=Parts())


def test_probabilities_of_one_class_are_a_softmax() -> None:
    logits = RANDOM.normal(size=(5, 3))
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert SingleLabel().probabilities(logits) == pytest.approx(expected)
