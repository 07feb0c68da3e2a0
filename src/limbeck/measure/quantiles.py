"""Metrics of predicted quantiles: outputs ``quantiles``, ``[N, Q]`` or ``[N, K, Q]``, and labels ``target``.

Targets are ``[N]``, or ``[N, K]`` for several, NaN where they are not known, as in `limbeck.measure.regression`. No
metric here is defined for a model without quantiles, which has NaN in their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.measure.metric import Floats, Labels, OfMeans, Outputs, ratio
from limbeck.measure.regression import TargetErrors
from limbeck.registry import register

__all__ = ["PinballLoss", "QuantileCalibrationError", "QuantileCoverage"]

_LEVELS = (0.05, 0.5, 0.95)


def _checked(name: str, quantiles: Sequence[float]) -> tuple[float, ...]:
    levels = tuple(float(level) for level in quantiles)
    if not levels or any(not low < high for low, high in pairwise((0.0, *levels, 1.0))):
        raise ArgumentError(
            f"metric {name}: quantiles are {list(levels)}; expected ascending levels between 0 and 1", path="quantiles"
        )
    return levels


def _arrays(name: str, outputs: Outputs, labels: Labels, levels: Sequence[float]) -> tuple[Floats, Floats]:
    """``[N, K, Q]`` and ``[N, K, 1]``."""
    quantiles, target = outputs["quantiles"], labels["target"]
    if quantiles.shape != (*target.shape, len(levels)):
        raise ArgumentError(
            f"metric {name}: quantiles of shape {quantiles.shape} for targets of shape {target.shape}; expected one "
            f"for each target and each of the levels {', '.join(map(str, levels))}, in this order",
            code="wrong_shape",
            path="quantiles",
        )
    return quantiles.reshape(len(target), -1, len(levels)), target.reshape(len(target), -1, 1)


@register("metric", "pinball_loss")
class PinballLoss(TargetErrors):
    r"""Mean pinball loss over rows and quantiles, in the unit of the target.

    .. math:: \frac{1}{NQ} \sum_{i,q} \max\bigl(q (y_i - \hat y_{iq}),\; (q - 1) (y_i - \hat y_{iq})\bigr)

    Args:
        targets: their names; their numbers if empty.
        unit: of the targets.
        quantiles: the levels q of the outputs, ascending.

    >>> metric = PinballLoss(quantiles=(0.1, 0.9))
    >>> outputs, labels = {"quantiles": np.array([[1.0, 3.0]])}, {"target": np.array([2.0])}
    >>> metric.value(metric.statistics(outputs, labels, None), np.ones((1, 1))).round(3).tolist()
    [0.1]

    Koenker and Bassett, 1978, "Regression Quantiles", Econometrica 46 (1).
    """

    title = "pinball loss"

    def __init__(self, targets: Sequence[str] = (), *, unit: str = "", quantiles: Sequence[float] = _LEVELS) -> None:
        super().__init__(targets, unit=unit)
        self.quantiles = _checked("pinball_loss", quantiles)

    def errors(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        predicted, target = _arrays(self.name, outputs, labels, self.quantiles)
        difference, level = target - predicted, np.array(self.quantiles)
        return np.asarray(np.maximum(level * difference, (level - 1) * difference).mean(axis=-1), np.float64)


class _Shares(OfMeans):
    """Functions of the share of known targets that lie at or below each quantile."""

    is_share = True
    bounds = (0.0, 1.0)

    def __init__(self, quantiles: Sequence[float] = _LEVELS) -> None:
        self.quantiles = _checked(self.name, quantiles)

    def statistics(self, outputs: Outputs, labels: Labels, reference: Outputs | None) -> Floats:
        """The number of known targets at or below each quantile, those inside the outer interval, and all of them."""
        predicted, target = _arrays(self.name, outputs, labels, self.quantiles)
        below = (target <= predicted).sum(axis=1)
        inside = ((target >= predicted[..., :1]) & (target <= predicted[..., -1:])).sum(axis=1)
        known = ~np.isnan(target) & ~np.isnan(predicted).any(axis=-1, keepdims=True)
        return np.concatenate([below, inside, known.sum(axis=1)], axis=1).astype(np.float64)

    @staticmethod
    def _shares(means: Floats) -> Floats:
        counts, known = means[..., :-1], np.broadcast_to(means[..., -1:], means[..., :-1].shape)
        return ratio(counts, known, undefined=np.nan)

    def breakdown(self, statistics: Floats, weights: Floats) -> Mapping[str, Floats]:
        """The share of targets at or below each quantile."""
        shares = self._shares(self.means(statistics, weights))
        return {str(level): shares[:, column] for column, level in enumerate(self.quantiles)}


@register("metric", "quantile_coverage")
class QuantileCoverage(_Shares):
    """Share of targets between the lowest and the highest quantile, which should be the distance of their levels.

    A higher coverage is not better beyond that: see `QuantileCalibrationError`.

    Args:
        quantiles: the levels of the outputs, ascending.

    >>> QuantileCoverage((0.05, 0.95)).title
    'coverage of the 90% interval'
    """

    def __init__(self, quantiles: Sequence[float] = _LEVELS) -> None:
        super().__init__(quantiles)
        if len(self.quantiles) < 2:
            raise ArgumentError(
                "metric quantile_coverage: one quantile bounds no interval; give two or more",
                code="too_few",
                path="quantiles",
            )
        self.title = f"coverage of the {100 * (self.quantiles[-1] - self.quantiles[0]):.3g}% interval"

    def of_means(self, means: Floats) -> Floats:
        return self._shares(means)[..., -1]


@register("metric", "quantile_calibration_error")
class QuantileCalibrationError(_Shares):
    r"""Mean distance between the level of a quantile and the share of targets at or below it.

    .. math:: \frac{1}{Q} \sum_q \Bigl|\frac{1}{N} \sum_i [y_i \le \hat y_{iq}] - q\Bigr|

    Args:
        quantiles: the levels q of the outputs, ascending.
    """

    title = "calibration error of quantiles"
    higher_is_better = False

    def of_means(self, means: Floats) -> Floats:
        return np.asarray(np.abs(self._shares(means)[..., :-1] - np.array(self.quantiles)).mean(axis=-1), np.float64)
