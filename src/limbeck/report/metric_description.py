"""What results.json says about a metric, and how its values are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

from limbeck.report.formatting import DASH, finite

__all__ = ["MetricDescription"]

_MINUS = "−"
_MOST_DECIMALS = 9


class MetricDescription(BaseModel):
    """A metric as `results.json` describes it.

    Args:
        title: the name that a reader sees.
        unit: of the values, such as "mg/dl"; empty if they have none, or are shares.
        higher_is_better: whether a greater value is better.
        is_share: whether values lie in 0..1 and are written as percentages, their differences in points.
        bounds: the least and the greatest possible value; None where there is none.
        needs_reference: whether it compares a model with the reference teacher.
        column: the heading of its column in the table at the end of a run; it has none there if empty.
        hub: the type, and the arguments if any, that the Hugging Face hub knows it by.
        decimals: of the values, unless they are shares; `scaled_to` sets it.
    """

    title: str
    unit: str = ""
    higher_is_better: bool
    is_share: bool = False
    bounds: tuple[float | None, float | None] = (None, None)
    needs_reference: bool = False
    column: str = ""
    hub: dict[str, Any] = Field(default_factory=dict)
    decimals: int = Field(default=3, exclude=True)

    def scaled_to(self, values: Iterable[float | None]) -> MetricDescription:
        """The description with decimals that show three digits of the greatest of these values, two if it is below 0.1.

        >>> MetricDescription(title="error", higher_is_better=False).scaled_to([53.2, 3.25]).text(3.25)
        '3.2'
        """
        largest = max((abs(known) for value in values if (known := finite(value)) is not None), default=0.0)
        if largest == 0:
            return self
        decimals = (2 if largest >= 0.1 else 1) - math.floor(math.log10(largest))
        return self.model_copy(update={"decimals": min(max(0, decimals), _MOST_DECIMALS)})

    @property
    def direction(self) -> str:
        """Which way a value is better, in words."""
        return "higher is better" if self.higher_is_better else "lower is better"

    @property
    def axis_title(self) -> str:
        """The title of an axis of values."""
        return f"{self.title}{f' ({self.unit})' if self.unit else ''}, {self.direction}"

    @property
    def difference_axis_title(self) -> str:
        """The title of a horizontal axis of differences."""
        unit = f" ({self._difference_unit})" if self._difference_unit else ""
        return f"difference in {self.title}{unit}, {'right' if self.higher_is_better else 'left'} is better"

    def text(self, value: float | None, *, unit: bool = True) -> str:
        """A value, with its unit.

        >>> MetricDescription(title="accuracy", higher_is_better=True, is_share=True).text(0.984)
        '98.4%'
        >>> MetricDescription(title="RMSE", unit="mg/dl", higher_is_better=False, decimals=1).text(3.2)
        '3.2 mg/dl'
        """
        known = finite(value)
        if known is None:
            return DASH
        if self.is_share:
            return f"{100 * known:.1f}{'%' if unit else ''}"
        return f"{known:,.{self.decimals}f}".replace("-", _MINUS) + (f" {self.unit}" if unit and self.unit else "")

    def difference(self, value: float | None, *, unit: bool = True) -> str:
        """A difference of two values, always with its sign.

        >>> MetricDescription(title="accuracy", higher_is_better=True, is_share=True).difference(0.07)
        '+7.0 points'
        >>> MetricDescription(title="RMSE", unit="mg/dl", higher_is_better=False, decimals=1).difference(-0.4)
        '−0.4 mg/dl'
        """
        known = finite(value)
        if known is None:
            return DASH
        number = f"{100 * known:+.1f}" if self.is_share else f"{known:+,.{self.decimals}f}"
        shown = self._difference_unit if unit else ""
        return number.replace("-", _MINUS) + (f" {shown}" if shown else "")

    def tick(self, value: float) -> str:
        """A round value at the tick of an axis.

        >>> MetricDescription(title="accuracy", higher_is_better=True, is_share=True).tick(0.95)
        '95%'
        """
        return f"{100 * value:.12g}%" if self.is_share else f"{value:,.12g}".replace("-", _MINUS)

    def difference_tick(self, value: float) -> str:
        """A round difference at the tick of an axis."""
        number = f"{100 * value:+.12g}" if self.is_share else f"{value:+,.12g}"
        return number.replace("-", _MINUS) if value else "0"

    def clamp(self, low: float, high: float) -> tuple[float, float]:
        """A range of values, cut at the bounds."""
        least, greatest = (finite(bound) for bound in self.bounds)
        return (
            low if least is None else max(least, low),
            high if greatest is None else min(greatest, high),
        )

    def better(self, low: float | None, high: float | None) -> bool | None:
        """Whether a difference a − b with this interval makes a better (True), worse (False), or neither (None).

        >>> MetricDescription(title="RMSE", higher_is_better=False).better(-0.6, -0.2)
        True
        """
        start, end = finite(low), finite(high)
        if start is None or end is None or start <= 0 <= end:
            return None
        return (start > 0) == self.higher_is_better

    @property
    def _difference_unit(self) -> str:
        return "points" if self.is_share else self.unit
