"""The interface of a metric."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from limbeck import registry
from limbeck.errors import ArgumentError

__all__ = [
    "Floats",
    "Integers",
    "Labels",
    "Metric",
    "MetricInfo",
    "OfMeans",
    "Outputs",
    "RowMean",
    "mean_of_defined",
    "metric_metadata",
    "ratio",
    "reference_of",
]

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Outputs: TypeAlias = Mapping[str, Any]
"""Outputs of a model for a batch of rows, by name: arrays whose first axis is the row, or lists of one entry a row."""
Labels: TypeAlias = Mapping[str, Any]
"""What is known about the same rows, by name; ``target`` is the label."""

S = TypeVar("S")


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is written and compared: what reports and tables need besides its value.

    Args:
        name: the key in ``results.json``.
        title: as a reader sees it, within a sentence.
        unit: behind its values; empty if it has none.
        higher_is_better: its direction.
        is_share: whether it lies in 0..1 and is written in percent, and its differences in percentage points.
        bounds: the smallest and the largest possible value.
        needs_reference: whether it compares a model with a reference, such as the teacher.
        column: the heading of its column in the table at the end of a run; it has none there if empty.
        hub: the type, and the arguments if any, under which the Hugging Face hub knows it.
    """

    name: str
    title: str
    unit: str = ""
    higher_is_better: bool = True
    is_share: bool = False
    bounds: tuple[float, float] = (-math.inf, math.inf)
    needs_reference: bool = False
    column: str = ""
    hub: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The entry under ``metrics`` in ``results.json``; an infinite bound is None."""
        return {
            "title": self.title,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "is_share": self.is_share,
            "bounds": [bound if math.isfinite(bound) else None for bound in self.bounds],
            "needs_reference": self.needs_reference,
            "column": self.column,
            "hub": dict(self.hub),
        }


class Metric(ABC, Generic[S]):
    """A number that describes a model on a set of rows.

    It is computed in three steps: the statistics of each batch, the statistics of all rows joined from these, and the
    value for given weights of the rows. The bootstrap draws such weights: how often each row is in the draw. The value
    for these weights must be the value on the rows repeated as often.

    A metric that is a function of means of the rows is an `OfMeans`, which is faster.

    >>> class LargestError(Metric[Floats]):
    ...     name, title, higher_is_better = "largest_error", "largest error", False
    ...
    ...     def statistics(self, outputs, labels, reference):
    ...         return np.abs(outputs["value"] - labels["target"])
    ...
    ...     def join(self, parts):
    ...         return np.concatenate(parts)
    ...
    ...     def value(self, statistics, weights):
    ...         return np.where(weights > 0, statistics, 0).max(axis=1)
    >>> metric = LargestError()
    >>> errors = metric.statistics({"value": np.array([1.0, 5.0])}, {"target": np.array([0.0, 2.0])}, None)
    >>> metric.value(errors, np.array([[1.0, 1.0], [2.0, 0.0]])).tolist()
    [3.0, 1.0]
    """

    title: str
    unit: str = ""
    higher_is_better: bool = True
    is_share: bool = False
    bounds: tuple[float, float] = (-math.inf, math.inf)
    needs_reference: bool = False
    column: str = ""
    hub: Mapping[str, Any] = MappingProxyType({})

    @property
    def name(self) -> str:
        """The key in ``results.json``: the name under which the class is registered, unless it sets another.

        Raises:
            ArgumentError: if it is not registered.
        """
        name = registry.name_of("metric", type(self))
        if name is None:
            raise ArgumentError(
                f"metric {type(self).__name__}: it has no name; decorate the class with "
                '@register("metric", "NAME"), or give it an attribute `name`',
                code="missing",
                path="name",
            )
        return name

    @property
    def info(self) -> MetricInfo:
        """What reports and tables need besides the value."""
        return MetricInfo(
            self.name,
            self.title,
            unit=self.unit,
            higher_is_better=self.higher_is_better,
            is_share=self.is_share,
            bounds=self.bounds,
            needs_reference=self.needs_reference,
            column=self.column,
            hub=self.hub,
        )

    @abstractmethod
    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> S:
        """The statistics of one batch of rows.

        Args:
            outputs: of the model.
            labels: of the rows.
            reference: the outputs of the reference for these rows; None unless the metric `needs_reference`.
        """

    @abstractmethod
    def join(self, parts: Sequence[S]) -> S:
        """The statistics of several batches, one after the other."""

    @abstractmethod
    def value(self, statistics: S, weights: Floats) -> Floats:
        """The metric in each draw.

        Args:
            statistics: of all rows.
            weights: how often each draw contains each row, ``[draws, rows]``; the rows in the order of the statistics.

        Returns:
            ``[draws]``; NaN where the metric is not defined.
        """

    def breakdown(self, statistics: S, weights: Floats) -> Mapping[str, Floats]:
        """The same per class or target, by its name; empty if there is no such breakdown."""
        return {}

    def arrays(self, statistics: S) -> Mapping[str, NDArray[Any]]:
        """The statistics as arrays, by which they are stored with a run.

        Raises:
            ArgumentError: if the statistics are neither an array nor a mapping of arrays; override it then.
        """
        if isinstance(statistics, np.ndarray):
            return {"": statistics}
        if isinstance(statistics, Mapping) and all(isinstance(one, np.ndarray) for one in statistics.values()):
            return statistics
        raise ArgumentError(
            f"metric {self.name}: its statistics are of type {type(statistics).__name__}, expected an array or a "
            "mapping of arrays; override `arrays`",
            code="wrong_type",
            path="arrays",
        )


class OfMeans(Metric[Floats]):
    """A metric that is a function of means over rows.

    Its statistics are a table of numbers, ``[rows, k]``. All such metrics of a model are bootstrapped together by one
    matrix product.
    """

    def join(self, parts: Sequence[Floats]) -> Floats:
        return np.concatenate(parts)

    def value(self, statistics: Floats, weights: Floats) -> Floats:
        return self.of_means(self.means(statistics, weights))

    @staticmethod
    def means(statistics: Floats, weights: Floats) -> Floats:
        """The weighted means, ``[draws, k]``."""
        return np.asarray(weights @ statistics / weights.sum(axis=1, keepdims=True), np.float64)

    @abstractmethod
    def of_means(self, means: Floats) -> Floats:
        """The metric from the means of the statistics: ``[..., k]`` to ``[...]``."""


class RowMean(OfMeans):
    """The mean of one number per row."""

    def of_means(self, means: Floats) -> Floats:
        return means[..., 0]


def ratio(numerator: Floats, denominator: Floats, *, undefined: float = 0.0) -> Floats:
    """The quotient where the denominator is positive, and another value elsewhere.

    >>> ratio(np.array([1.0, 0.0]), np.array([4.0, 0.0])).tolist()
    [0.25, 0.0]
    """
    out = np.full_like(numerator, undefined)
    return np.asarray(np.divide(numerator, denominator, out=out, where=denominator > 0), np.float64)


def mean_of_defined(values: Floats) -> Floats:
    """The mean over the last axis of the values that are not NaN; NaN if all are.

    >>> mean_of_defined(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])).tolist()
    [2.0, nan]
    """
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    return ratio(total, defined.sum(axis=-1), undefined=np.nan)


def reference_of(reference: Outputs | None, name: str) -> Outputs:
    """The outputs of the reference, which a metric of this name needs.

    Raises:
        ArgumentError: if there are none.
    """
    if reference is None:
        raise ArgumentError(
            f"metric {name}: no outputs of a reference; name the teacher, or leave the metric out",
            code="missing",
            path="reference",
        )
    return reference


def metric_metadata(metrics: Iterable[Metric[Any] | MetricInfo]) -> dict[str, dict[str, Any]]:
    """The section ``metrics`` of ``results.json``: title, unit, direction and bounds by the name of the metric.

    >>> info = MetricInfo("rmse", "RMSE", unit="mg/dl", higher_is_better=False, bounds=(0.0, math.inf))
    >>> metric_metadata([info])["rmse"]["bounds"]
    [0.0, None]
    """
    infos = (metric if isinstance(metric, MetricInfo) else metric.info for metric in metrics)
    return {info.name: info.to_json() for info in infos}
