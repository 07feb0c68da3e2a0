"""Metrics of numbers, against scikit-learn and brute force over resampled rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as oracle

from limbeck.errors import ArgumentError
from limbeck.measure import (
    MAE,
    R2,
    RMSE,
    Floats,
    Metric,
    Resamples,
    TeacherRMSE,
    evaluate,
    interval,
    main_score,
    regression_scoring,
    verdict,
)
from refusals import refused

RANDOM = np.random.default_rng(0)
ROWS, TARGETS = 60, 3
TARGET = 1e6 + RANDOM.normal(size=(ROWS, TARGETS))  # far from 0: no digits may be lost
VALUE = TARGET + 0.5 * RANDOM.normal(size=(ROWS, TARGETS))
HOLES = np.where(RANDOM.random((ROWS, TARGETS)) < 0.3, np.nan, TARGET)
METRICS = {"rmse": RMSE, "mae": MAE, "r2": R2}
ORACLES = {
    "rmse": oracle.root_mean_squared_error,
    "mae": oracle.mean_absolute_error,
    "r2": oracle.r2_score,
}


def draws(rows: int = ROWS) -> list[tuple[Floats, list[int]]]:
    counts = Resamples(rows, draws=100).counts
    return [(count.astype(float), np.repeat(np.arange(rows), count).tolist()) for count in counts]


def expected(name: str, target: Floats, value: Floats) -> float:
    """The mean over targets of scikit-learn's metric on the rows with a known target."""
    columns = range(target.shape[1])
    known = [~np.isnan(target[:, column]) for column in columns]
    each = [ORACLES[name](target[k, c], value[k, c]) for c, k in zip(columns, known, strict=True)]
    return float(np.mean(each))


def values(metric: Metric[object], target: Floats, value: Floats, weights: Floats) -> Floats:
    """From two batches."""
    batches = np.split(np.arange(len(target)), [23])
    parts = [metric.statistics({"value": value[rows]}, {"target": target[rows]}, None) for rows in batches]
    return metric.value(metric.join(parts), weights)


@pytest.mark.parametrize("name", METRICS)
def test_of_one_target_agrees_with_scikit_learn(name: str) -> None:
    metric = METRICS[name]()
    found = values(metric, TARGET[:, 0], VALUE[:, 0], np.ones((1, ROWS)))
    assert found[0] == pytest.approx(ORACLES[name](TARGET[:, 0], VALUE[:, 0]), rel=1e-9)
    statistics = metric.statistics({"value": VALUE[:, 0]}, {"target": TARGET[:, 0]}, None)
    assert metric.breakdown(statistics, np.ones((1, ROWS))) == {}


@pytest.mark.parametrize("name", METRICS)
def test_of_several_targets_is_the_uniform_average_of_scikit_learn(name: str) -> None:
    metric = METRICS[name](["a", "b", "c"])
    found = values(metric, TARGET, VALUE, np.ones((1, ROWS)))
    assert found[0] == pytest.approx(ORACLES[name](TARGET, VALUE, multioutput="uniform_average"), rel=1e-9)
    statistics = metric.statistics({"value": VALUE}, {"target": TARGET}, None)
    each = metric.breakdown(statistics, np.ones((1, ROWS)))
    assert list(each) == ["a", "b", "c"]
    raw = ORACLES[name](TARGET, VALUE, multioutput="raw_values")
    assert [float(one[0]) for one in each.values()] == pytest.approx(raw.tolist(), rel=1e-9)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("target", [TARGET, HOLES], ids=["known", "some unknown"])
def test_the_value_for_weights_is_that_of_the_repeated_rows(name: str, target: Floats) -> None:
    weights, rows = zip(*draws(), strict=True)
    found = values(METRICS[name](), target, VALUE, np.stack(weights))
    brute = [expected(name, target[drawn], VALUE[drawn]) for drawn in rows]
    assert found == pytest.approx(np.array(brute), rel=1e-8)


@pytest.mark.parametrize("name", METRICS)
def test_what_nothing_is_known_of_is_left_out(name: str) -> None:
    target = TARGET.copy()
    target[:, 1] = np.nan
    found = values(METRICS[name](), target, VALUE, np.ones((1, ROWS)))
    assert found[0] == pytest.approx(expected(name, target[:, [0, 2]], VALUE[:, [0, 2]]), rel=1e-9)
    assert math.isnan(values(METRICS[name](), np.full_like(TARGET, np.nan), VALUE, np.ones((1, ROWS)))[0])


def test_r2_of_equal_targets_is_not_defined() -> None:
    target = np.array([0.1, 0.1, 0.7])
    weights = np.array([[2.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 3.0]])
    found = R2().value(R2().statistics({"value": target + 1}, {"target": target}, None), weights)
    assert np.isnan(found).tolist() == [True, False, True]


def test_the_difference_from_the_teacher_is_over_all_rows() -> None:
    metric = TeacherRMSE()
    teacher = VALUE + RANDOM.normal(size=VALUE.shape)
    statistics = metric.statistics({"value": VALUE}, {"target": HOLES}, {"value": teacher})
    assert metric.value(statistics, np.ones((1, ROWS)))[0] == pytest.approx(
        oracle.root_mean_squared_error(teacher, VALUE)
    )
    assert (metric.name, metric.needs_reference) == ("teacher_rmse", True)
    with pytest.raises(ArgumentError, match="teacher_rmse: no outputs of a reference"):
        metric.statistics({"value": VALUE}, {"target": HOLES}, None)


def test_names_of_other_targets_are_refused() -> None:
    for metric in (RMSE(["a", "b"]), R2(["a", "b"])):
        with refused(ArgumentError, "mismatch", "targets"):
            metric.statistics({"value": VALUE}, {"target": TARGET}, None)


@pytest.mark.parametrize("holes", [False, True])
def test_models_are_evaluated_and_compared_in_the_unit_of_the_data(holes: bool) -> None:
    target = HOLES if holes else TARGET
    models = {
        "teacher": [{"value": TARGET + 0.1}],
        "student": [{"value": VALUE}],
        "control": [{"value": TARGET + 2 * RANDOM.normal(size=TARGET.shape)}],
    }
    found = evaluate(
        models,
        target,
        scoring=regression_scoring(["a", "b", "c"], unit="mg/dl"),
        reference="teacher",
        comparisons=[("student", "control")],
        draws=100,
    )
    student = found.models["student"]
    assert list(student.metrics) == ["rmse", "mae", "r2", "teacher_rmse"]
    assert list(found.models["teacher"].metrics) == ["rmse", "mae", "r2"]
    assert set(student.breakdown["rmse"]) == {"a", "b", "c"}
    for name in METRICS:
        drawn = np.array([[expected(name, target[rows], VALUE[rows]) for _, rows in draws()]])
        value = np.array([expected(name, target, VALUE)])
        brute = interval(value, drawn)
        one = student.metrics[name]
        assert (one.value, one.low, one.high) == pytest.approx((brute.value, brute.low, brute.high), rel=1e-8)
    comparison = found.comparison("student", "control", "rmse")
    assert comparison.difference < 0
    assert (comparison.is_better, comparison.is_worse) == (True, False)
    assert " mg/dl below that of " in verdict(comparison)
    described = found.to_json()["metrics"]["rmse"]
    assert (described["title"], described["unit"], described["bounds"]) == ("RMSE", "mg/dl", [0.0, None])


def test_the_main_score_is_the_rmse_and_better_when_lower() -> None:
    score = main_score(regression_scoring(), {"value": VALUE[:, 0]}, {"target": TARGET[:, 0]})
    assert score == ("rmse", pytest.approx(oracle.root_mean_squared_error(TARGET[:, 0], VALUE[:, 0])), False)


def test_what_does_not_fit_is_refused() -> None:
    scoring = regression_scoring()
    with refused(ArgumentError, "wrong_shape", "target"):
        evaluate({"a": [{"value": VALUE[:, :1]}]}, TARGET[:, 0], scoring=scoring, draws=100)
    with refused(ArgumentError, "wrong_shape", "target"):
        evaluate({"a": [{"value": VALUE[:, 0]}]}, np.ones(ROWS, int), scoring=scoring, draws=100)
    with refused(ArgumentError, "missing", "labels"):
        evaluate({"a": [{"value": VALUE}]}, np.full_like(TARGET, np.nan), scoring=scoring, draws=100)


def test_a_value_that_is_not_defined_is_null_in_json() -> None:
    target, value = np.full(ROWS, 2.0), 2.0 + RANDOM.normal(size=ROWS)
    found = evaluate({"a": [{"value": value}]}, target, scoring=regression_scoring(), draws=100).to_json()
    assert found["models"]["a"]["metrics"]["r2"] == {"value": None, "low": None, "high": None}
    assert found["models"]["a"]["seeds"][0]["r2"] is None
    assert found["models"]["a"]["metrics"]["rmse"]["value"] > 0
