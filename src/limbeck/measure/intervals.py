"""95% intervals over rows and over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.measure.metric import Floats, Integers

__all__ = ["Interval", "Resamples", "Scope", "interval", "student_t"]

Scope = Literal["rows", "rows+seeds"]


@dataclass(frozen=True)
class Interval:
    """A value, the 95% interval about it, and what varied: the rows alone, or rows and seeds."""

    value: float
    low: float
    high: float
    scope: Scope


class Resamples:
    """How often each draw of the bootstrap contains each unit. All models and metrics share the draws: they are paired.

    Args:
        rows: the number of rows.
        units: the unit of each row, ``[rows]``, as whole numbers: a unit, such as a document, is drawn with all of its
            rows. None if every row is a unit.
        draws: the number of draws, each of as many units as there are, with replacement.
        seed: of the generator.

    Raises:
        ArgumentError: if there is no row, another number of units than rows, or fewer than 100 draws, which leave no
            2.5% tail to read.

    Paper: B. Efron (1979), Bootstrap methods: another look at the jackknife, doi:10.1214/aos/1176344552.
    """

    def __init__(self, rows: int, *, units: Integers | None = None, draws: int = 2000, seed: int = 0) -> None:
        if rows < 1 or draws < 100:
            raise ArgumentError(
                f"bootstrap: {rows} rows and {draws} draws; expected at least 1 row and 100 draws; 2000 draws is usual",
                path="rows" if rows < 1 else "draws",
            )
        if units is not None and units.shape != (rows,):
            raise ArgumentError(
                f"bootstrap: units of shape {units.shape} for {rows} rows; give the unit of each row",
                code="wrong_shape",
                path="units",
            )
        self.rows = rows
        self.unit_of_row = None if units is None else np.unique(units, return_inverse=True)[1]
        count = rows if self.unit_of_row is None else int(self.unit_of_row.max()) + 1
        random = np.random.Generator(np.random.PCG64(seed))
        # One byte each: a count is nearly Poisson(1), and 10^9 of those have no value above 20.
        self.counts: NDArray[np.uint8] = np.empty((draws, count), np.uint8)
        for draw in range(draws):
            self.counts[draw] = np.bincount(random.integers(0, count, size=count), minlength=count)

    def means(self, statistics: Floats) -> Floats:
        """The mean over rows in each draw: `[N, K]` -> `[draws, K]`.

        >>> Resamples(3, draws=100).means(np.ones((3, 2))).shape
        (100, 2)
        """
        if self.unit_of_row is None:
            return np.asarray(self._products(statistics) / self.rows, np.float64)
        table = np.zeros((self.counts.shape[1], statistics.shape[1] + 1))
        np.add.at(table, self.unit_of_row, np.pad(statistics, ((0, 0), (0, 1)), constant_values=1.0))
        sums = self._products(table)
        return np.asarray(sums[:, :-1] / sums[:, -1:], np.float64)

    def _products(self, table: Floats) -> Floats:
        chunks = [self.counts[chunk].astype(np.float64) @ table for chunk in self._chunks(len(table))]
        return np.concatenate(chunks)

    def weights(self, order: Integers | None = None) -> Iterator[Floats]:
        """How often each draw contains each row, ``[some draws, rows]``, in chunks of draws.

        Args:
            order: the numbers of the rows in the order wanted; None for the order of the data set.
        """
        column = self.unit_of_row if order is None or self.unit_of_row is None else self.unit_of_row[order]
        if self.unit_of_row is None:
            column = order
        for chunk in self._chunks(self.rows):
            counts = self.counts[chunk] if column is None else self.counts[chunk][:, column]
            yield counts.astype(np.float64)

    def _chunks(self, columns: int) -> Iterator[slice]:
        step = max(1, 4_000_000 // columns)  # 32 MB of float64 counts at a time
        return (slice(start, start + step) for start in range(0, len(self.counts), step))


def student_t(freedom: float, probability: Floats) -> Floats:
    """Quantiles of Student's t distribution.

    With `t = √ν · tan θ` the density in θ is proportional to `cos(θ)^(ν−1)`, which is summed up on a fine grid.

    Args:
        freedom: the degrees of freedom ν, at least 1.
        probability: between 0 and 1.

    Returns:
        The quantiles, of the same shape.

    >>> student_t(2, np.array([0.95, 0.975])).round(3).tolist()
    [2.92, 4.303]
    """
    angle = np.linspace(-math.pi / 2, math.pi / 2, 200_001)
    density = np.cos(angle).clip(0) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return np.asarray(math.sqrt(freedom) * np.tan(np.interp(probability, below / below[-1], angle)), np.float64)


@cache
def _t_draws(freedom: int, draws: int) -> Floats:
    """Draws of |t|: evenly spaced quantiles in random order, as such long tails should not be left to chance."""
    quantiles = student_t(freedom, 0.5 + (np.arange(draws) + 0.5) / (2 * draws))
    return np.random.Generator(np.random.PCG64(draws)).permutation(quantiles)


def interval(values: Floats, draws: Floats, *, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
    """The mean over seeds, with a 95% interval over rows, and over seeds where there are several.

    Rows enter by the percentile bootstrap; where the draws lie on one side of the value (a calibration error only
    grows by resampling) they are moved back to it. Seeds enter by Student's t, because a bootstrap of three seeds
    cannot leave the range of their three values. docs/decisions/0001-seed-intervals.md has the figures.

    Args:
        values: the metric, or a paired difference of it, on all rows, per seed: `[S]`.
        draws: the same in each draw of the bootstrap over rows: `[S, draws]`. Draws in which the metric is not defined
            (NaN) are left out.
        bounds: the smallest and the largest possible value.

    Returns:
        The interval.

    >>> interval(np.array([0.9]), np.linspace(0.8, 1.0, 101)[None]).scope
    'rows'
    """
    value = float(values.mean())
    over_rows = draws.mean(axis=0)
    over_rows = over_rows[~np.isnan(over_rows)]
    if math.isnan(value) or len(over_rows) == 0:
        return Interval(value, math.nan, math.nan, "rows" if len(values) == 1 else "rows+seeds")
    bias = float(over_rows.mean()) - value
    if abs(bias) < 4 * float(over_rows.std()) / math.sqrt(len(over_rows)):
        bias = 0.0  # the draws' own noise: taking it off would move bounds that are exactly 0
    drawn = over_rows - bias
    if len(values) > 1:
        error = float(values.std(ddof=1)) / math.sqrt(len(values)) * _t_draws(len(values) - 1, len(drawn))
        drawn = np.concatenate([drawn + error, drawn - error])  # both signs, so that b − a mirrors a − b
    low, high = np.percentile(drawn, [2.5, 97.5]).clip(*bounds)
    return Interval(value, float(low), float(high), "rows" if len(values) == 1 else "rows+seeds")
