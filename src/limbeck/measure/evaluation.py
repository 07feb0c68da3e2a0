"""The results of an evaluation, in the form of results.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.measure.intervals import Interval, Scope
from limbeck.measure.metric import MetricInfo, metric_metadata

__all__ = ["Comparison", "Evaluation", "ModelEvaluation"]


def _plain(value: float) -> float | None:
    """The number as JSON has it: None where a metric is not defined."""
    return value if math.isfinite(value) else None


def _interval(found: Interval) -> dict[str, float | None]:
    return {"value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high)}


@dataclass(frozen=True)
class ModelEvaluation:
    """One model.

    Args:
        metrics: means over seeds, with their intervals.
        scope: what varies in these intervals.
        seeds: the metrics of each seed.
        tables: of the rows of all seeds, such as ``reliability`` and ``confusion``.
        breakdown: metrics per class or target, as means over seeds.
    """

    metrics: Mapping[str, Interval]
    scope: Scope
    seeds: tuple[Mapping[str, float], ...]
    tables: Mapping[str, list[Any]] = field(default_factory=dict)
    breakdown: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The entry of `results.json`, in plain types."""
        breakdown = {name: {key: _plain(one) for key, one in parts.items()} for name, parts in self.breakdown.items()}
        return {
            "metrics": {name: _interval(one) for name, one in self.metrics.items()},
            "scope": self.scope,
            "seeds": [{name: _plain(value) for name, value in values.items()} for values in self.seeds],
            **self.tables,
            **({"breakdown": breakdown} if breakdown else {}),
        }


@dataclass(frozen=True)
class Comparison:
    """The difference a − b of a metric, paired over rows and seeds, with its 95% interval."""

    a: str
    b: str
    info: MetricInfo
    difference: float
    low: float
    high: float
    scope: Scope
    seeds: int

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return self.info.name

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0

    @property
    def is_better(self) -> bool:
        """Whether a is clearly better than b, by the direction of the metric."""
        return self.low > 0 if self.info.higher_is_better else self.high < 0

    @property
    def is_worse(self) -> bool:
        """Whether a is clearly worse than b, by the direction of the metric."""
        return self.clear and not self.is_better

    def to_json(self) -> dict[str, Any]:
        """The entry of `results.json`; the number of seeds stands with the models there."""
        return {
            "a": self.a,
            "b": self.b,
            "metric": self.metric,
            "difference": _plain(self.difference),
            "low": _plain(self.low),
            "high": _plain(self.high),
            "scope": self.scope,
        }


@dataclass(frozen=True)
class Evaluation:
    """All models and all comparisons, the metrics that they have, and functions of these.

    The ``statistics`` of rows are those of `Evaluator.tables`, from which all of it can be computed again.
    """

    models: Mapping[str, ModelEvaluation]
    comparisons: tuple[Comparison, ...]
    metrics: tuple[MetricInfo, ...] = ()
    derived: Mapping[str, Interval] = field(default_factory=dict)
    statistics: Mapping[str, NDArray[Any]] = field(default_factory=dict, compare=False, repr=False)

    def comparison(self, a: str, b: str, metric: str = "accuracy") -> Comparison:
        """The comparison of this pair on this metric.

        Raises:
            ArgumentError: if it was not made.
        """
        for one in self.comparisons:
            if (one.a, one.b, one.metric) == (a, b, metric):
                return one
        made = ", ".join(sorted({f"{one.a} - {one.b}" for one in self.comparisons})) or "none"
        raise ArgumentError(
            f"no comparison {a} - {b} on {metric!r}; pairs that were compared: {made}",
            code="unknown_name",
            path="comparisons",
        )

    def to_json(self) -> dict[str, Any]:
        """The keys `metrics`, `models`, `comparisons` and `derived`, if any, of `results.json`, in plain types."""
        return {
            "metrics": metric_metadata(self.metrics),
            "models": {name: model.to_json() for name, model in self.models.items()},
            "comparisons": [one.to_json() for one in self.comparisons],
            **({"derived": {name: _interval(one) for name, one in self.derived.items()}} if self.derived else {}),
        }
