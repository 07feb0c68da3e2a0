"""The interface of metrics: weights of rows stand for repeated rows, and metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from limbeck import registry
from limbeck.errors import ArgumentError
from limbeck.measure import Accuracy, Floats, Labels, Metric, MetricInfo, Outputs, Resamples, metric_metadata
from measure.custom_metrics import PrecisionOfBoxes, Spearman, precision_of_boxes, spearman
from refusals import refused

RANDOM = np.random.default_rng(0)
ROWS = 40


def draws(rows: int = ROWS) -> list[tuple[Floats, list[int]]]:
    """The weights of each draw, and the rows that they stand for."""
    return [(one.astype(float), np.repeat(np.arange(rows), one).tolist()) for one in Resamples(rows, draws=100).counts]


def test_weights_of_a_rank_correlation_are_repeated_rows() -> None:
    outputs, labels = RANDOM.integers(0, 12, ROWS).astype(float), RANDOM.normal(size=ROWS).round(1)
    metric = Spearman()
    statistics = metric.statistics({"value": outputs}, {"target": labels}, None)
    weights, rows = zip(*draws(), strict=True)
    expected = [spearman(outputs[drawn], labels[drawn]) for drawn in rows]
    assert metric.value(statistics, np.stack(weights)) == pytest.approx(np.array(expected), abs=1e-12)


def made_images() -> list[tuple[Floats, Floats, int]]:
    counts = RANDOM.integers(0, 6, ROWS)
    return [
        (RANDOM.normal(size=count), (RANDOM.random(count) < 0.6).astype(float), int(count + RANDOM.integers(1, 3)))
        for count in counts
    ]


def test_weights_of_a_ragged_metric_are_repeated_rows() -> None:
    images = made_images()
    metric = PrecisionOfBoxes()
    weights, rows = zip(*draws(), strict=True)
    expected = [precision_of_boxes([images[row] for row in drawn]) for drawn in rows]
    assert metric.value(images, np.stack(weights)) == pytest.approx(np.array(expected), abs=1e-12)


def test_the_name_is_that_of_the_registry_unless_another_is_set() -> None:
    assert Accuracy().name == "accuracy"
    assert Spearman().name == "spearman"
    for name in registry.names("metric"):
        if name != "entity_f1":
            assert registry.lookup("metric", name)().name == name


class Nameless(Metric[Any]):
    title = "nameless"

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Any:
        return object()

    def join(self, parts: Sequence[Any]) -> Any:
        return parts[0]

    def value(self, statistics: Any, weights: Floats) -> Floats:
        return np.zeros(len(weights))


def test_a_metric_without_a_name_says_how_to_give_it_one() -> None:
    with pytest.raises(ArgumentError, match="metric Nameless: it has no name; decorate the class"):
        _ = Nameless().name


def test_statistics_of_another_type_cannot_be_stored() -> None:
    class Odd(Nameless):
        name = "odd"

    with refused(ArgumentError, "wrong_type", "arrays"):
        Odd().arrays(object())


def test_metadata_has_no_infinite_number() -> None:
    info = MetricInfo("rmse", "RMSE", unit="mg/dl", higher_is_better=False, bounds=(0.0, math.inf))
    found = metric_metadata([info, Spearman()])
    assert list(found) == ["rmse", "spearman"]
    assert found["rmse"]["bounds"] == [0.0, None]
    assert (found["rmse"]["unit"], found["rmse"]["higher_is_better"]) == ("mg/dl", False)
    assert found["spearman"]["bounds"] == [-1.0, 1.0]


@pytest.mark.parametrize("name", [name for name in registry.names("metric") if name != "entity_f1"])
def test_every_registered_metric_describes_itself(name: str) -> None:
    metric: Metric[Any] = registry.lookup("metric", name)()
    assert metric.title
    assert metric.bounds[0] < metric.bounds[1]
    assert not metric.is_share or metric.bounds == (0.0, 1.0)
