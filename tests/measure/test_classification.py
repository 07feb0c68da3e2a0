from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as oracle
from scipy.special import log_softmax as scipy_log_softmax

from limbeck.measure import Floats, Integers
from limbeck.measure.activations import log_softmax
from limbeck.measure.class_scorings import single_label_metrics
from measure.one_metric import measure, metric_named, table

NAMES = [metric.name for metric in single_label_metrics(10)]


def made(classes: int, rows: int = 200, seed: int = 0) -> tuple[Floats, Integers, Floats]:
    random = np.random.default_rng(seed)
    logits, teacher = random.normal(size=(2, rows, classes)) * 3
    return logits, random.integers(0, classes, rows), teacher


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_agrees_with_scikit_learn_or_the_formula(classes: int) -> None:
    logits, target, _ = made(classes)
    probability, called = np.exp(scipy_log_softmax(logits, axis=1)), logits.argmax(axis=1)
    labels = range(classes)
    assert measure("accuracy", logits, target) == pytest.approx(oracle.accuracy_score(target, called))
    assert measure("macro_f1", logits, target) == pytest.approx(oracle.f1_score(target, called, average="macro"))
    assert measure("negative_log_likelihood", logits, target) == pytest.approx(
        oracle.log_loss(target, probability, labels=labels)
    )
    assert measure("brier_score", logits, target) == pytest.approx(
        np.square(probability - np.eye(classes)[target]).sum(axis=1).mean()
    )


def test_top5_agrees_with_scikit_learn() -> None:
    logits, target, _ = made(10)
    expected = oracle.top_k_accuracy_score(target, logits, k=5, labels=range(10))
    assert measure("top5_accuracy", logits, target) == pytest.approx(expected)


def test_macro_f1_leaves_out_a_class_that_neither_occurs_nor_is_called() -> None:
    logits, target, _ = made(6)
    logits[:, 4] = -50
    target[target == 4] = 0
    expected = oracle.f1_score(target, logits.argmax(axis=1), average="macro")
    assert measure("macro_f1", logits, target) == pytest.approx(expected)


def test_equal_logits_count_for_the_first_classes() -> None:
    logits, target = np.zeros((8, 8)), np.arange(8)
    assert measure("accuracy", logits, target) == 1 / 8
    assert measure("top5_accuracy", logits, target) == 5 / 8


@pytest.mark.parametrize("classes", [2, 5])
def test_top5_of_five_classes_is_always_right(classes: int) -> None:
    logits, target, _ = made(classes)
    assert measure("top5_accuracy", logits, target) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_is_finite_within_bounds_at_huge_logits_and_blind_to_a_shift(name: str) -> None:
    logits, target, teacher = made(7)
    metric = metric_named(name)
    for scale in (1.0, 1e4 / np.abs(logits).max()):
        value = measure(name, scale * logits, target, -scale * teacher)
        assert math.isfinite(value)
        assert metric.bounds[0] <= value <= metric.bounds[1]
    shifted = measure(name, logits + 7.0, target, teacher - 3.0)
    assert shifted == pytest.approx(measure(name, logits, target, teacher), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_model_has_the_best_value_and_a_wrong_one_a_worse(name: str) -> None:
    metric = metric_named(name)
    target = np.arange(50) % 6
    right = 100 * np.eye(6)[target]
    best = measure(name, right, target, right)
    assert best == pytest.approx(metric.bounds[1] if metric.higher_is_better else metric.bounds[0], abs=1e-12)
    worse = measure(name, 100 * np.eye(6)[(target + 1) % 6] - 50 * np.eye(6)[target], target, right)
    assert worse < best if metric.higher_is_better else worse > best


@pytest.mark.parametrize("name", NAMES)
def test_the_value_for_weights_is_that_of_the_repeated_rows(name: str) -> None:
    logits, target, teacher = made(6, rows=40)
    metric = metric_named(name)
    picked = np.random.default_rng(1).integers(0, 40, 40)
    weights = np.bincount(picked, minlength=40)[None].astype(float)
    drawn = metric.value(table(metric, logits, target, teacher), weights)
    assert float(drawn[0]) == pytest.approx(measure(name, logits[picked], target[picked], teacher[picked]))


@pytest.mark.parametrize("name", NAMES)
def test_keeps_leading_axes(name: str) -> None:
    logits, target, teacher = made(6, rows=20)
    metric = metric_named(name)
    means = np.random.default_rng(2).dirichlet(np.ones(20), size=(3, 4)) @ table(metric, logits, target, teacher)
    assert metric.of_means(means).shape == (3, 4)


def test_macro_f1_is_broken_down_by_class() -> None:
    logits, target, _ = made(4)
    logits[:, 3], target[target == 3] = -50, 0
    metric = metric_named("macro_f1")
    parts = metric.breakdown(table(metric, logits, target), np.ones((1, len(target))))
    expected = oracle.f1_score(target, logits.argmax(axis=1), average=None, labels=range(3))
    assert [float(parts[str(number)][0]) for number in range(3)] == pytest.approx(expected.tolist())
    assert math.isnan(parts["3"][0])


def test_log_softmax_agrees_with_scipy() -> None:
    logits, _, _ = made(9)
    np.testing.assert_allclose(log_softmax(1e3 * logits), scipy_log_softmax(1e3 * logits, axis=1), rtol=1e-12)
