"""Metrics of rankings, against scikit-learn and a loop over pairs of rows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics as oracle
from scipy.special import softmax

from limbeck.measure import AUROC, AveragePrecision, Floats, Integers, Metric, Resamples, evaluate, multi_label_scoring
from limbeck.measure.ranking import log_odds

RANDOM = np.random.default_rng(0)
ROWS = 120


def value(metric: Metric[dict[str, Floats]], logits: Floats, target: Integers) -> float:
    parts = [
        metric.statistics({"logits": logits[rows]}, {"target": target[rows]}, None)
        for rows in np.split(np.arange(len(target)), [len(target) // 3])
    ]
    return float(metric.value(metric.join(parts), np.ones((1, len(target))))[0])


def with_ties(logits: Floats) -> Floats:
    return np.asarray(logits.round(), np.float64)


@pytest.mark.parametrize("tied", [False, True])
def test_binary_agrees_with_scikit_learn(tied: bool) -> None:
    target = RANDOM.integers(0, 2, ROWS)
    margin = RANDOM.normal(size=ROWS) + target
    margin = with_ties(margin) if tied else margin
    logits = np.stack([np.zeros(ROWS), margin], axis=1)
    assert value(AUROC(), logits, target) == pytest.approx(oracle.roc_auc_score(target, margin))
    statistics = AveragePrecision().statistics({"logits": logits}, {"target": target}, None)
    each = AveragePrecision().breakdown(statistics, np.ones((1, ROWS)))
    assert each["1"][0] == pytest.approx(oracle.average_precision_score(target, margin))
    assert each["0"][0] == pytest.approx(oracle.average_precision_score(1 - target, -margin))


@pytest.mark.parametrize("classes", [3, 7])
def test_several_classes_agree_with_scikit_learn(classes: int) -> None:
    target = RANDOM.integers(0, classes, ROWS)
    logits = RANDOM.normal(size=(ROWS, classes)) + np.eye(classes)[target]
    shares = softmax(logits, axis=1)
    expected = oracle.roc_auc_score(target, shares, multi_class="ovr", average="macro")
    assert value(AUROC(), logits, target) == pytest.approx(expected)
    expected = oracle.average_precision_score(np.eye(classes)[target], shares, average="macro")
    assert value(AveragePrecision(), logits, target) == pytest.approx(expected)


@pytest.mark.parametrize("tied", [False, True])
def test_multi_label_agrees_with_scikit_learn(tied: bool) -> None:
    target = (RANDOM.random((ROWS, 5)) < [0.1, 0.3, 0.5, 0.7, 0.9]).astype(int)
    logits = RANDOM.normal(size=(ROWS, 5)) * 2 + target
    logits = with_ties(logits) if tied else logits
    assert value(AUROC(), logits, target) == pytest.approx(oracle.roc_auc_score(target, logits, average="macro"))
    expected = oracle.average_precision_score(target, logits, average="macro")
    assert value(AveragePrecision(), logits, target) == pytest.approx(expected)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    score, positive = RANDOM.integers(0, 5, 40).astype(float), RANDOM.integers(0, 2, 40)
    pairs = [(a, b) for a, b in itertools.product(score[positive == 1], score[positive == 0])]
    expected = np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
    assert value(AUROC(), score[:, None], positive[:, None]) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [AUROC(), AveragePrecision()])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_value_for_weights_is_that_of_the_repeated_rows(
    metric: Metric[dict[str, Floats]], tied: bool, multi_label: bool
) -> None:
    """Some draws lack a class: it is left out of their mean."""
    target = RANDOM.integers(0, 3, 25)
    target[0], target[target == 2] = 2, 1
    target[0] = 2
    labels = np.eye(3, dtype=int)[target] if multi_label else target
    logits = RANDOM.normal(size=(25, 3)) + np.eye(3)[target]
    logits = with_ties(logits) if tied else logits
    counts = Resamples(25, draws=100).counts
    drawn = [np.repeat(np.arange(25), count) for count in counts]
    assert any(2 not in target[rows] for rows in drawn)
    statistics = metric.statistics({"logits": logits}, {"target": labels}, None)
    brute = [value(metric, logits[rows], labels[rows]) for rows in drawn]
    assert metric.value(statistics, counts.astype(float)) == pytest.approx(np.array(brute))


def test_a_class_of_all_or_no_rows_is_left_out() -> None:
    target = np.stack([np.ones(20, int), np.arange(20) % 2, np.zeros(20, int)], axis=1)
    logits = RANDOM.normal(size=(20, 3))
    assert value(AUROC(), logits, target) == pytest.approx(oracle.roc_auc_score(target[:, 1], logits[:, 1]))
    assert math.isnan(value(AUROC(), logits, np.ones((20, 3), int)))
    assert math.isnan(value(AveragePrecision(), logits, np.zeros((20, 3), int)))


def test_log_odds_order_rows_whose_probabilities_round_to_1() -> None:
    logits = np.array([[60.0, 0.0, 1.0], [50.0, 0.0, 1.0], [0.5, 0.0, 1.0]])
    odds = log_odds(logits)
    assert odds[0, 0] > odds[1, 0] > odds[2, 0]
    share = softmax(logits[2])
    np.testing.assert_allclose(odds[2], np.log(share / (1 - share)), rtol=1e-12)
    assert np.isfinite(log_odds(np.array([[1e4, -1e4], [0.0, 1e5]]))).all()


def test_multi_label_models_are_evaluated_by_it() -> None:
    target = (RANDOM.random((ROWS, 4)) < 0.4).astype(int)
    logits = RANDOM.normal(size=(ROWS, 4)) + target
    found = evaluate({"a": [logits]}, target, scoring=multi_label_scoring(), draws=100).models["a"]
    one = found.metrics["auroc"]
    assert one.value == pytest.approx(oracle.roc_auc_score(target, logits, average="macro"))
    assert one.low < one.value < one.high
    assert len(found.breakdown["auroc"]) == 4
