"""Metrics that a recipe chooses are tried before anything is trained or written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from limbeck import registry
from limbeck.api import check
from limbeck.errors import RecipeError
from limbeck.measure import RowMean
from recipes.small import changed
from refusals import refused

REGRESSION = {
    "task": "regression",
    "data": {"use": "diabetes"},
    "objective": {"hard": {"loss": "squared_error"}},
}


@pytest.fixture(autouse=True)
def own_metrics() -> Iterator[None]:
    with registry.temporary():

        @registry.register("metric", "of_another_output")
        class OfAnotherOutput(RowMean):
            title = "of another output"

            def statistics(self, outputs: Any, labels: Any, reference: Any) -> Any:
                return outputs["depth"][:, None]

        @registry.register("metric", "broken")
        class Broken(RowMean):
            title = "broken"

            def statistics(self, outputs: Any, labels: Any, reference: Any) -> Any:
                raise ZeroDivisionError("of its own")

        @registry.register("metric", "flat")
        class Flat(RowMean):
            title = "flat"

            def statistics(self, outputs: Any, labels: Any, reference: Any) -> Any:
                return np.zeros(len(labels["target"]))

        yield


@pytest.mark.parametrize(
    ("task", "metrics", "code", "words"),
    [
        (REGRESSION, ["accuracy"], "unsupported", "'accuracy' reads 'logits'"),
        (REGRESSION, ["rmse", "macro_f1"], "unsupported", "the usual metrics are rmse, mae, r2, teacher_rmse$"),
        ({}, ["rmse"], "unsupported", "reads 'value'"),
        ({}, ["accuracy", "of_another_output"], "unsupported", "reads 'depth'"),
        ({}, ["broken"], "unsupported", "ZeroDivisionError: of its own"),
        ({}, ["flat"], "unsupported", "statistics of shape"),
        ({}, ["entity_f1"], "missing", "'entity_f1'"),
        ({}, ["teacher_kl"], "unsupported", "teacher_kl"),
        ({}, ["accuracy", "accuracy"], "duplicate", "'accuracy'"),
    ],
    ids=str,
)
def test_a_metric_that_does_not_fit_is_refused(task: dict[str, Any], metrics: list[str], code: str, words: str) -> None:
    with refused(RecipeError, code, "measure.metrics", match=words):
        check(changed({**task, "measure.metrics": metrics}))


def test_metrics_that_fit_are_taken() -> None:
    metrics = ["macro_f1", "accuracy", "teacher_kl", "micro_f1"]
    assert check(changed({"measure.metrics": metrics}))["measure"]["metrics"] == metrics
