"""Metrics of numbers: outputs ``value`` and labels ``target``, ``[N]`` for one target or ``[N, K]`` for several.

A target that is not known is NaN: it is left out, and the row counts for its other targets. With several targets a
metric is the mean over the targets, as ``multioutput="uniform_average"`` in scikit-learn, and its breakdown has each.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.measure.metric import Floats, Labels, Metric, OfMeans, Outputs, mean_of_defined, ratio, reference_of
from limbeck.registry import register

__all__ = ["MAE", "R2", "RMSE", "TargetErrors", "TeacherRMSE"]


def _columns(values: Floats) -> Floats:
    """``[N, K]``, also for one target."""
    return values[:, None] if values.ndim == 1 else values


def _by_target(values: Floats, targets: Sequence[str]) -> dict[str, Floats]:
    """The values ``[draws, K]`` by the name of their target; empty for a single target."""
    count = values.shape[1]
    if count == 1:
        return {}
    names = targets or [str(number) for number in range(count)]
    return {name: values[:, column] for column, name in enumerate(names)}


def _check_targets(name: str, values: Floats, targets: Sequence[str]) -> None:
    if targets and values.shape[1] != len(targets):
        raise ArgumentError(
            f"metric {name}: {values.shape[1]} targets, and the names of {len(targets)}: {', '.join(targets)}; name "
            "each target once",
            code="mismatch",
            path="targets",
        )


class TargetErrors(OfMeans):
    """A metric that is a function of the mean of an error, for each target.

    Args:
        targets: their names; their numbers if empty.
        unit: of the values.
    """

    higher_is_better = False
    bounds = (0.0, math.inf)

    def __init__(self, targets: Sequence[str] = (), *, unit: str = "") -> None:
        self.targets = tuple(targets)
        self.unit = unit

    @abstractmethod
    def errors(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        """The error of each row and target, ``[N, K]``; NaN where it is not known."""

    def of_error(self, mean: Floats) -> Floats:
        """The metric of one target from its mean error."""
        return mean

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        errors = self.errors(outputs, labels, reference)
        _check_targets(self.name, errors, self.targets)
        known = ~np.isnan(errors)
        return np.concatenate([np.where(known, errors, 0.0), known], axis=1)

    def of_means(self, means: Floats) -> Floats:
        return mean_of_defined(self._each(means))

    def breakdown(self, statistics: Floats, weights: Floats) -> Mapping[str, Floats]:
        return _by_target(self._each(self.means(statistics, weights)), self.targets)

    def _each(self, means: Floats) -> Floats:
        errors, known = np.split(means, 2, axis=-1)
        return self.of_error(ratio(errors, known, undefined=np.nan))


@register("metric", "rmse")
class RMSE(TargetErrors):
    r"""Root mean squared error, :math:`\sqrt{\frac{1}{N} \sum_i (\hat y_i - y_i)^2}`, in the unit of the target.

    >>> outputs, labels = {"value": np.array([1.0, 4.0, 9.0])}, {"target": np.array([1.0, 2.0, np.nan])}
    >>> metric = RMSE(unit="mg/dl")
    >>> metric.value(metric.statistics(outputs, labels, None), np.ones((1, 3))).round(3).tolist(), metric.unit
    ([1.414], 'mg/dl')
    """

    title = "RMSE"
    column = "RMSE"

    def errors(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        return _columns((outputs["value"] - labels["target"]) ** 2)

    def of_error(self, mean: Floats) -> Floats:
        return np.sqrt(mean)


@register("metric", "mae")
class MAE(TargetErrors):
    r"""Mean absolute error, :math:`\frac{1}{N} \sum_i |\hat y_i - y_i|`, in the unit of the target."""

    title = "MAE"

    def errors(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        return _columns(np.abs(outputs["value"] - labels["target"]))


@register("metric", "teacher_rmse")
class TeacherRMSE(RMSE):
    """Root mean squared difference between the model and the teacher, in the unit of the target, over all rows."""

    title = "RMS difference from the teacher"
    column = ""
    needs_reference = True

    def errors(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        return _columns((outputs["value"] - reference_of(reference, self.name)["value"]) ** 2)


@register("metric", "r2")
class R2(Metric[dict[str, Floats]]):
    r"""Coefficient of determination, :math:`1 - \sum_i (\hat y_i - y_i)^2 / \sum_i (y_i - \bar y)^2`.

    In each draw of the bootstrap the mean :math:`\bar y` is that of the draw. It is not defined where all targets are
    equal.

    Args:
        targets: their names; their numbers if empty.

    >>> metric = R2()
    >>> statistics = metric.statistics({"value": np.array([1.0, 2.0])}, {"target": np.array([1.0, 3.0])}, None)
    >>> metric.value(statistics, np.array([[1.0, 1.0], [3.0, 1.0]])).round(3).tolist()
    [0.5, 0.667]
    """

    title = "R²"
    column = "R²"
    bounds = (-math.inf, 1.0)

    def __init__(self, targets: Sequence[str] = ()) -> None:
        self.targets = tuple(targets)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> dict[str, Floats]:
        target = _columns(labels["target"])
        _check_targets(self.name, target, self.targets)
        return {"squared_error": (_columns(outputs["value"]) - target) ** 2, "target": target}

    def join(self, parts: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def value(self, statistics: dict[str, Floats], weights: Floats) -> Floats:
        return mean_of_defined(self._each(statistics, weights))

    def breakdown(self, statistics: dict[str, Floats], weights: Floats) -> Mapping[str, Floats]:
        return _by_target(self._each(statistics, weights), self.targets)

    @staticmethod
    def _each(statistics: dict[str, Floats], weights: Floats) -> Floats:
        known = ~np.isnan(statistics["target"])
        # Sums of squares about a value near the mean of every draw: no digits are lost.
        centre = ratio(np.where(known, statistics["target"], 0.0).sum(axis=0), known.sum(axis=0))
        target = np.where(known, statistics["target"] - centre, 0.0)
        rows, first, second = weights @ known.astype(np.float64), weights @ target, weights @ target**2
        residual = weights @ np.where(known, statistics["squared_error"], 0.0)
        spread = second - ratio(first**2, rows)
        # Equal targets leave rounding errors.
        spread[spread <= 1e-12 * second] = 0.0
        return np.asarray(1 - ratio(residual, spread, undefined=np.nan), np.float64)
