from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from limbeck.errors import ArgumentError
from limbeck.measure import ExpectedCalibrationError, Floats, Integers, reliability
from measure.one_metric import table
from refusals import refused


def error(logits: Floats, target: Integers, bins: int = 15) -> float:
    metric = ExpectedCalibrationError(bins)
    return float(metric.value(table(metric, logits, target), np.ones((1, len(target))))[0])


def of_confidence(confidence: list[float]) -> Floats:
    """Logits of two classes whose first one has these probabilities."""
    with np.errstate(divide="ignore"):
        return np.stack([np.log(confidence), np.maximum(np.log1p(-np.array(confidence)), -1e4)], axis=1)


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize("classes", [2, 10])
def test_agrees_with_torchmetrics(bins: int, classes: int) -> None:
    random = np.random.default_rng(0)
    logits, target = random.normal(size=(500, classes)), random.integers(0, classes, 500)
    probability = torch.tensor(logits).softmax(-1)
    expected = multiclass_calibration_error(probability, torch.tensor(target), classes, n_bins=bins)
    assert error(logits, target, bins) == pytest.approx(float(expected), abs=1e-6)


def test_agrees_with_counting_row_by_row() -> None:
    random = np.random.default_rng(1)
    logits, target = 2 * random.normal(size=(300, 4)), random.integers(0, 4, 300)
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gaps = [[] for _ in range(15)]
    for row, true in zip(probability, target, strict=True):
        bin_of_row = next(b for b in range(15) if row.max() <= (b + 1) / 15)
        gaps[bin_of_row].append(float(row.argmax() == true) - row.max())
    assert error(logits, target) == pytest.approx(sum(abs(sum(gap)) for gap in gaps) / 300)


def test_confidence_of_exactly_one_is_in_the_last_bin() -> None:
    logits, target = of_confidence([1.0, 1.0, 0.95, 0.95]), np.array([0, 1, 0, 0])
    assert np.exp(logits[0, 0]) == 1.0
    assert error(logits, target) == pytest.approx(abs(3 / 4 - (1 + 1 + 0.95 + 0.95) / 4))
    last = reliability(logits, target)[-1]
    assert (last.count, last.accuracy) == (4, 0.75)
    assert last.confidence == pytest.approx(0.975)


def test_bins_hold_their_upper_edge() -> None:
    bins = reliability(np.zeros((3, 2)), np.array([0, 0, 1]), bins=4)
    assert [one.count for one in bins] == [0, 3, 0, 0]


def test_reliability_counts_every_row_once_and_gives_the_error() -> None:
    random = np.random.default_rng(2)
    logits, target = 3 * random.normal(size=(400, 5)), random.integers(0, 5, 400)
    bins = reliability(logits, target)
    assert sum(one.count for one in bins) == 400
    assert (bins[0].low, bins[-1].high, len(bins)) == (0.0, 1.0, 15)
    for one in bins:
        assert one.count or (one.confidence is None and one.accuracy is None)
        assert one.confidence is None or one.low < one.confidence <= one.high
    gaps = [one.count * abs(one.accuracy - one.confidence) for one in bins if one.count]
    assert error(logits, target) == pytest.approx(sum(gaps) / 400)


def test_refuses_no_bins() -> None:
    with refused(ArgumentError, "out_of_range", "bins"):
        ExpectedCalibrationError(0)
