"""Metrics of quantiles, against scikit-learn and counting."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as oracle

from limbeck.errors import ArgumentError
from limbeck.measure import (
    Floats,
    OfMeans,
    PinballLoss,
    QuantileCalibrationError,
    QuantileCoverage,
    Resamples,
    evaluate,
    regression_scoring,
)
from refusals import refused

RANDOM = np.random.default_rng(0)
LEVELS = (0.1, 0.5, 0.9)
ROWS = 200
TARGET = RANDOM.normal(size=ROWS)
QUANTILES = np.sort(RANDOM.normal(size=(ROWS, 3)), axis=1)


def value(metric: OfMeans, quantiles: Floats = QUANTILES, target: Floats = TARGET) -> float:
    statistics = metric.statistics({"quantiles": quantiles}, {"target": target}, None)
    return float(metric.value(statistics, np.ones((1, len(target))))[0])


def test_pinball_loss_agrees_with_scikit_learn() -> None:
    each = [oracle.mean_pinball_loss(TARGET, QUANTILES[:, q], alpha=level) for q, level in enumerate(LEVELS)]
    assert value(PinballLoss(quantiles=LEVELS, unit="km")) == pytest.approx(np.mean(each))
    assert PinballLoss(unit="km").unit == "km"


def test_coverage_is_counted() -> None:
    inside = [low <= one <= high for one, (low, _, high) in zip(TARGET, QUANTILES, strict=True)]
    assert value(QuantileCoverage(LEVELS)) == pytest.approx(np.mean(inside))
    assert QuantileCoverage(LEVELS).title == "coverage of the 80% interval"


def test_calibration_error_is_the_distance_of_shares_and_levels() -> None:
    shares = [np.mean(QUANTILES[:, q] >= TARGET) for q in range(3)]
    metric = QuantileCalibrationError(LEVELS)
    assert value(metric) == pytest.approx(np.mean(np.abs(np.array(shares) - LEVELS)))
    statistics = metric.statistics({"quantiles": QUANTILES}, {"target": TARGET}, None)
    each = metric.breakdown(statistics, np.ones((1, ROWS)))
    assert {name: float(one[0]) for name, one in each.items()} == pytest.approx(
        dict(zip(("0.1", "0.5", "0.9"), shares, strict=True))
    )


def test_true_quantiles_are_calibrated() -> None:
    target = RANDOM.normal(size=100_000)
    true = np.tile(scipy.stats.norm.ppf(LEVELS), (len(target), 1))
    assert value(QuantileCoverage(LEVELS), true, target) == pytest.approx(0.8, abs=0.01)
    assert value(QuantileCalibrationError(LEVELS), true, target) < 0.005


@pytest.mark.parametrize("metric", [PinballLoss(quantiles=LEVELS), QuantileCoverage(LEVELS)])
def test_unknown_targets_are_left_out(metric: OfMeans) -> None:
    holes = TARGET.copy()
    holes[::3] = np.nan
    assert value(metric, target=holes) == pytest.approx(value(metric, QUANTILES[holes == holes], holes[holes == holes]))
    assert np.isnan(value(metric, target=np.full(ROWS, np.nan)))


@pytest.mark.parametrize("cls", [PinballLoss, QuantileCoverage, QuantileCalibrationError])
def test_the_value_for_weights_is_that_of_the_repeated_rows(cls: type[OfMeans]) -> None:
    metric = cls(quantiles=LEVELS)
    quantiles = RANDOM.normal(size=(30, 2, 3))
    target = np.where(RANDOM.random((30, 2)) < 0.2, np.nan, RANDOM.normal(size=(30, 2)))
    statistics = metric.statistics({"quantiles": quantiles}, {"target": target}, None)
    counts = Resamples(30, draws=100).counts
    drawn = [np.repeat(np.arange(30), count) for count in counts]
    brute = [value(metric, quantiles[rows], target[rows]) for rows in drawn]
    assert metric.value(statistics, counts.astype(float)) == pytest.approx(np.array(brute))


def test_models_that_give_quantiles_are_evaluated() -> None:
    outputs = {"value": QUANTILES[:, 1], "quantiles": QUANTILES}
    found = evaluate({"a": [outputs]}, TARGET, scoring=regression_scoring(unit="km", quantiles=LEVELS), draws=100)
    metrics = found.models["a"].metrics
    assert list(metrics) == ["rmse", "mae", "r2", "pinball_loss", "quantile_calibration_error", "quantile_coverage"]
    assert metrics["quantile_coverage"].low < metrics["quantile_coverage"].value < metrics["quantile_coverage"].high
    alone = regression_scoring(quantiles=(0.5,))
    assert "quantile_coverage" not in [metric.name for metric in alone.metrics]


def test_what_does_not_fit_is_refused() -> None:
    with refused(ArgumentError, "out_of_range", "quantiles"):
        PinballLoss(quantiles=(0.9, 0.1))
    with refused(ArgumentError, "too_few", "quantiles"):
        QuantileCoverage((0.5,))
    with refused(ArgumentError, "wrong_shape", "quantiles"):
        value(PinballLoss(quantiles=LEVELS), QUANTILES[:, :2])
