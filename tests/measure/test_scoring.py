"""What a task supplies so that its models are evaluated: metrics, the one that decides, and what fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from limbeck.errors import ArgumentError
from limbeck.measure import (
    Accuracy,
    Floats,
    Labels,
    MicroF1,
    OfMeans,
    Outputs,
    Resamples,
    Scoring,
    evaluate,
    main_score,
    masked_token_scoring,
    multi_label_scoring,
    single_label_scoring,
    token_scoring,
    verdict,
)
from refusals import refused

RANDOM = np.random.default_rng(0)
ROWS, LONGEST, CLASSES = 60, 7, 4
LENGTHS = RANDOM.integers(1, LONGEST + 1, ROWS)
TARGET = np.where(np.arange(LONGEST) < LENGTHS[:, None], RANDOM.integers(0, CLASSES, (ROWS, LONGEST)), -100)


def skilled(skill: float) -> Floats:
    noise = RANDOM.normal(size=(ROWS, LONGEST, CLASSES))
    return np.asarray(noise + skill * np.eye(CLASSES)[TARGET.clip(0)], np.float64)


class ShareOfParts(OfMeans):
    """Right parts over known parts: the rows are of different lengths, so this is no mean of rows."""

    name = "share_of_parts"
    title = "share of parts"
    is_share = True
    bounds = (0.0, 1.0)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        logits, target = outputs["logits"], labels["target"]
        known = target != -100
        return np.stack([((logits.argmax(-1) == target) & known).sum(1), known.sum(1)], 1).astype(np.float64)

    def of_means(self, means: Floats) -> Floats:
        return np.asarray(means[..., 0] / means[..., 1], np.float64)


def check_parts(outputs: Outputs, labels: Labels) -> None:
    if labels["target"].shape != outputs["logits"].shape[:-1]:
        raise ArgumentError(f"targets {labels['target'].shape} for logits {outputs['logits'].shape}")


PARTS = Scoring(hard={"hard": {"loss": "cross_entropy"}}, metrics=(ShareOfParts(),), check=check_parts)
TOKENS = {"log_likelihood": np.zeros((2, 3)), "predicted": np.zeros((2, 3), int)}
SCORED: dict[str, tuple[Scoring, Any, Any]] = {
    "one class": (single_label_scoring(3), np.eye(3), [0, 1, 1]),
    "several classes": (multi_label_scoring(), np.eye(3), np.eye(3, dtype=int)),
    "tokens": (token_scoring(("O", "B-A", "I-A")), np.zeros((2, 4, 3)), np.ones((2, 4), int)),
    "masked tokens": (masked_token_scoring(), TOKENS, np.ones((2, 3), int)),
}
MISPLACED = {
    "one class": ("masked_accuracy", "masked_perplexity"),
    "several classes": ("masked_accuracy", "accuracy", "top5_accuracy", "brier_score"),
    "tokens": ("masked_accuracy", "masked_agreement"),
    "masked tokens": ("accuracy", "macro_f1", "negative_log_likelihood", "brier_score"),
}


@pytest.mark.parametrize(("kind", "metric"), [(kind, one) for kind, names in MISPLACED.items() for one in names])
def test_metrics_of_other_outputs_are_refused_by_name(kind: str, metric: str) -> None:
    scoring, logits, target = SCORED[kind]
    with refused(ArgumentError, "unsupported", "metrics", match=f"'{metric}'"):
        evaluate({"a": [logits]}, target, scoring=scoring, metrics=[scoring.main.name, metric], draws=100)


@pytest.mark.parametrize("kind", ["one class", "several classes", "masked tokens"])
def test_a_metric_that_needs_arguments_is_refused_by_name(kind: str) -> None:
    scoring, logits, target = SCORED[kind]
    with refused(ArgumentError, "missing", "metrics", match="'entity_f1'"):
        evaluate({"a": [logits]}, target, scoring=scoring, metrics=["entity_f1"], draws=100)


def test_metrics_of_another_scoring_that_fit_are_computed() -> None:
    found = evaluate({"a": [np.eye(3)]}, [0, 1, 1], metrics=["micro_f1", "accuracy"], draws=100)
    assert found.models["a"].metrics["micro_f1"].value == found.models["a"].metrics["accuracy"].value


def test_other_metrics_may_be_chosen_of_which_the_first_decides() -> None:
    scoring = single_label_scoring(3)
    chosen = scoring.with_metrics([MicroF1(), "accuracy"])
    assert [metric.name for metric in chosen.metrics] == ["micro_f1", "accuracy"]
    assert chosen.main.name == "micro_f1"
    assert (chosen.hard, chosen.check) == (scoring.hard, scoring.check)
    with pytest.raises(ArgumentError, match="'accuracy' is there twice"):
        scoring.with_metrics(["accuracy", Accuracy()])
    with pytest.raises(ArgumentError, match="got none"):
        scoring.with_metrics([])
    with pytest.raises(ArgumentError, match="the first, teacher_kl, compares with a teacher"):
        scoring.with_metrics(["teacher_kl", "accuracy"])


def share(logits: Floats, rows: Any = slice(None)) -> float:
    known = TARGET[rows] != -100
    return float((logits[rows].argmax(-1) == TARGET[rows])[known].mean())


def test_outputs_of_any_shape_are_measured_and_compared_row_by_row() -> None:
    logits = {"student": [skilled(2.0)], "control": [skilled(0.5)]}
    found = evaluate(logits, TARGET, scoring=PARTS, comparisons=[("student", "control")], draws=200)
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
    logits = {"student": [skilled(2.0)], "control": [skilled(0.5)]}
    found = evaluate(logits, TARGET, scoring=PARTS, comparisons=[("student", "control")], draws=200)
    assert "the student's share of parts is" in verdict(found.comparison("student", "control", PARTS.main.name))


def test_main_score_is_the_first_metric() -> None:
    logits = skilled(1.0)
    score = main_score(PARTS, {"logits": logits}, {"target": TARGET})
    assert score == ("share_of_parts", pytest.approx(share(logits)), True)
    single = {"logits": np.array([[1.0, 0.0], [0.0, 1.0]])}
    assert main_score(single_label_scoring(2), single, {"target": np.array([0, 0])}) == ("accuracy", 0.5, True)


def test_what_a_scoring_refuses_is_refused() -> None:
    with refused(ArgumentError, "out_of_range"):
        evaluate({"student": [skilled(1.0)]}, TARGET[:, :6], scoring=PARTS)
    with refused(ArgumentError, "wrong_shape", "target"):
        evaluate({"student": [skilled(1.0)]}, TARGET)


def test_other_shapes_of_another_model_are_refused() -> None:
    logits: Mapping[str, Any] = {"student": [skilled(1.0)], "control": [skilled(1.0)[:, :5]]}
    with refused(ArgumentError, "wrong_shape", "control"):
        evaluate(logits, TARGET, scoring=PARTS)


def test_probabilities_of_one_class_are_a_softmax() -> None:
    logits = RANDOM.normal(size=(5, 3))
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert single_label_scoring(3).probabilities({"logits": logits}) == pytest.approx(expected)
