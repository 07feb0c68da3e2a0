"""Rows of any number of classes, against scikit-learn, torch's distributions and loops over rows and classes."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics as oracle
import torch
from scipy.special import expit
from torch.distributions import Bernoulli, kl_divergence

from limbeck.errors import ArgumentError
from limbeck.measure import Floats, Integers, evaluate, multi_label_scoring, reliability
from limbeck.measure.activations import sigmoid
from measure.one_metric import measure, metric_named, table
from refusals import refused

NAMES = [metric.name for metric in multi_label_scoring().metrics]
FOR_TEACHER = {"teacher_agreement", "teacher_kl"}


def made(classes: int = 5, rows: int = 200, seed: int = 0) -> tuple[Floats, Integers, Floats]:
    """Every tenth row has no class."""
    random = np.random.default_rng(seed)
    target = (random.random((rows, classes)) < np.linspace(0.1, 0.6, classes)).astype(np.int64)
    target[: rows // 10] = 0
    logits, teacher = random.normal(size=(2, rows, classes)) * 2 + target - 1
    return logits, target, teacher


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_agrees_with_scikit_learn(classes: int) -> None:
    logits, target, _ = made(classes)
    called = expit(logits) > 0.5
    assert measure("micro_f1", logits, target) == pytest.approx(oracle.f1_score(target, called, average="micro"))
    assert measure("macro_f1", logits, target) == pytest.approx(oracle.f1_score(target, called, average="macro"))
    assert measure("subset_accuracy", logits, target) == pytest.approx(oracle.accuracy_score(target, called))
    per_class = [oracle.log_loss(target[:, c], expit(logits[:, c]), labels=[0, 1]) for c in range(classes)]
    assert measure("negative_log_likelihood", logits, target) == pytest.approx(sum(per_class))


def test_fidelity_agrees_with_torch() -> None:
    logits, target, teacher = made()
    p, q = (Bernoulli(logits=torch.from_numpy(values)) for values in (teacher, logits))
    expected = kl_divergence(p, q).sum(1).mean().item()
    assert measure("teacher_kl", logits, target, teacher) == pytest.approx(expected)
    agreed = np.mean([oracle.accuracy_score(teacher[:, c] > 0, logits[:, c] > 0) for c in range(5)])
    assert measure("teacher_agreement", logits, target, teacher) == pytest.approx(agreed)


def test_calibration_is_that_of_every_class_of_every_row() -> None:
    logits, target, _ = made()
    probability, gaps, counts = expit(logits), np.zeros(15), np.zeros(15, int)
    for row in range(len(logits)):
        for label in range(5):
            place = max(math.ceil(15 * probability[row, label]) - 1, 0)
            gaps[place] += target[row, label] - probability[row, label]
            counts[place] += 1
    expected = np.abs(gaps).sum() / target.size
    assert measure("expected_calibration_error", logits, target) == pytest.approx(expected)
    assert [part.count for part in reliability(logits, target)] == counts.tolist()
    assert sum(part.count * (part.accuracy or 0) for part in reliability(logits, target)) == pytest.approx(target.sum())


def test_f1_where_there_is_nothing_to_find() -> None:
    nothing, denied = np.zeros((4, 3), np.int64), np.full((4, 3), -9.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = oracle.f1_score(nothing, denied > 0, average="micro", zero_division=0)
    assert measure("micro_f1", denied, nothing) == expected == 0.0
    assert measure("macro_f1", denied, nothing) == 0.0
    assert measure("subset_accuracy", denied, nothing) == 1.0


def test_a_class_that_neither_occurs_nor_is_called_is_left_out_of_the_macro_f1() -> None:
    logits, target, _ = made()
    logits[:, 2], target[:, 2] = -9.0, 0
    expected = oracle.f1_score(target, logits > 0, average="macro", labels=[0, 1, 3, 4])
    assert measure("macro_f1", logits, target) == pytest.approx(expected)


def test_micro_f1_and_subset_accuracy_of_one_class_are_the_accuracy() -> None:
    random = np.random.default_rng(3)
    logits, target = random.normal(size=(50, 4)), random.integers(0, 4, 50)
    expected = oracle.accuracy_score(target, logits.argmax(1))
    assert measure("micro_f1", logits, target) == pytest.approx(expected)
    assert measure("subset_accuracy", logits, target) == pytest.approx(expected)


@pytest.mark.parametrize("name", NAMES)
def test_is_finite_within_bounds_at_huge_logits(name: str) -> None:
    logits, target, teacher = made(7)
    metric = metric_named(name)
    for scale in (1.0, 1e4 / np.abs(logits).max()):
        value = measure(name, scale * logits, target, -scale * teacher)
        assert math.isfinite(value)
        assert metric.bounds[0] <= value <= metric.bounds[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_model_has_the_best_value_and_a_wrong_one_a_worse(name: str) -> None:
    metric = metric_named(name)
    target = made(6, rows=50)[1]
    right = 100.0 * (2 * target - 1)
    best = measure(name, right, target, right)
    assert best == pytest.approx(metric.bounds[1] if metric.higher_is_better else metric.bounds[0], abs=1e-12)
    worse = measure(name, -right, target, right)
    assert worse < best if metric.higher_is_better else worse > best


@pytest.mark.parametrize("name", NAMES)
def test_the_value_for_weights_is_that_of_the_repeated_rows(name: str) -> None:
    logits, target, teacher = made(rows=40)
    metric = metric_named(name)
    picked = np.random.default_rng(1).integers(0, 40, 40)
    weights = np.bincount(picked, minlength=40)[None].astype(float)
    drawn = metric.value(table(metric, logits, target, teacher), weights)
    assert float(drawn[0]) == pytest.approx(measure(name, logits[picked], target[picked], teacher[picked]))


def test_evaluation_has_every_metric_and_no_confusion() -> None:
    logits, target, teacher = made()
    found = evaluate(
        {"student": [logits], "teacher": [teacher]},
        target,
        scoring=multi_label_scoring(),
        reference="teacher",
        comparisons=[("student", "teacher")],
        draws=100,
    )
    assert set(found.models["student"].metrics) == set(NAMES)
    assert set(found.models["teacher"].metrics) == set(NAMES) - FOR_TEACHER
    assert found.models["student"].tables["confusion"] == []
    assert sum(part["count"] for part in found.models["student"].tables["reliability"]) == target.size
    difference = measure("micro_f1", logits, target) - measure("micro_f1", teacher, target)
    assert found.comparison("student", "teacher", "micro_f1").difference == pytest.approx(difference)


def test_targets_that_are_no_answers_are_refused() -> None:
    logits, target, _ = made()
    with refused(
        ArgumentError, "wrong_shape", "target", match=r"\(200, 4\) for logits of shape \(200, 5\); expected a 0 or 1"
    ):
        evaluate({"student": [logits]}, target[:, :4], scoring=multi_label_scoring())
    target[3] = -100
    with refused(
        ArgumentError, "out_of_range", "target", match=r"target \[-100, .*\] in row 3; .* whose classes are not known"
    ):
        evaluate({"student": [logits]}, target, scoring=multi_label_scoring())


def test_probabilities_are_those_of_scipy() -> None:
    logits = np.array([-800.0, -5.0, 0.0, 0.3, 40.0, 800.0])
    np.testing.assert_allclose(sigmoid(logits), expit(logits), rtol=1e-12, atol=1e-16)
    np.testing.assert_array_equal(multi_label_scoring().probabilities({"logits": logits[None]}), sigmoid(logits)[None])
