"""Charts that compare models: differences with intervals, and a metric against a cost."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import NamedTuple

from limbeck.report.formatting import bracket, brief, finite, sentence_case
from limbeck.report.metric_description import MetricDescription
from limbeck.report.results import Comparison, Estimate, title
from limbeck.report.svg import Axis, Chart, element, marker, model_class, padded

__all__ = ["Cost", "interval_plot", "scatter"]

_WIDTH = 400.0


class Cost(NamedTuple):
    """What a model costs in one unit, with the ends of its error bar."""

    value: float
    low: float
    high: float


def _difference_text(metric: MetricDescription, comparison: Comparison) -> str:
    """A difference and its interval, as in "+7.0 points [+5.0, +9.0]"."""
    ends = bracket(comparison.low, comparison.high, lambda end: metric.difference(end, unit=False))
    return f"{metric.difference(comparison.difference)} {ends}".rstrip()


def interval_plot(metric: MetricDescription, comparisons: list[Comparison]) -> str:
    """Differences in one metric, each a point on its 95% interval, with a line at 0."""
    shown = [comparison for comparison in comparisons if finite(comparison.difference) is not None]
    row, top = 46.0, 14.0
    bottom = top + row * len(shown)
    chart = Chart(_WIDTH, bottom + 44, f"Differences in {metric.title} with 95% intervals", "short")
    ends = [known for c in shown for end in (c.difference, c.low, c.high) if (known := finite(end)) is not None]
    x = Axis(*padded([0.0, *ends], share=0.1), start=14, end=_WIDTH - 14)
    for tick in x.ticks():
        chart.add(element("line", class_="grid", x1=x(tick), x2=x(tick), y1=top, y2=bottom))
        text = metric.difference_tick(tick)
        chart.add(element("text", text, class_="tick", x=x(tick), y=bottom + 17, text_anchor="middle"))
    label = html.escape(metric.difference_axis_title)
    chart.add(element("text", label, class_="title", x=_WIDTH / 2, y=bottom + 35, text_anchor="middle"))
    for index, comparison in enumerate(shown):
        _interval(chart, x, top + row * index, metric, comparison, index)
    return chart.svg()


def _interval(chart: Chart, x: Axis, top: float, metric: MetricDescription, comparison: Comparison, group: int) -> None:
    value, low, high = finite(comparison.difference), finite(comparison.low), finite(comparison.high)
    assert value is not None
    middle = top + 30
    name = f"{title(comparison.a)} − {title(comparison.b)}"
    chart.add(element("text", html.escape(name), class_="label halo", x=x.start, y=top + 14))
    figures = _difference_text(metric, comparison)
    chart.add(element("text", html.escape(figures), class_="label halo", x=x.end, y=top + 14, text_anchor="end"))
    # Beside each interval only: a line through the whole chart would strike the labels out.
    chart.add(element("line", class_="zero", x1=x(0), x2=x(0), y1=middle - 10, y2=middle + 10))
    if low is not None and high is not None:
        chart.add(_bar(model_class(comparison.a), (x(low), middle), (x(high), middle)))
    chart.add(marker(comparison.a, x(value), middle))
    over = comparison.scope.replace("+", " and ")
    chart.mark(x(value), middle, f"{name}\n{metric.title} {figures}\n95% interval over {over}", group)


def _bar(classes: str, start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    cap = 4.0
    dx, dy = (0.0, cap) if y1 == y2 else (cap, 0.0)
    strokes = (
        (x1, y1, x2, y2),
        (x1 - dx, y1 - dy, x1 + dx, y1 + dy),
        (x2 - dx, y2 - dy, x2 + dx, y2 + dy),
    )
    path = "".join(f"M{a:.1f},{b:.1f}L{c:.1f},{d:.1f}" for a, b, c, d in strokes)
    return element("path", class_=f"bar {classes}", d=path)


def scatter(
    metric: MetricDescription,
    scores: Mapping[str, Estimate],
    costs: Mapping[str, Cost],
    axis: str,
    write: Callable[[float | None], str],
) -> str:
    """A metric against a cost, with error bars, for the models of which both are known.

    Args:
        metric: what the scores are.
        scores: by model.
        costs: by model, all positive.
        axis: the title of the horizontal axis.
        write: a cost as text.
    """
    points = {name: scores[name] for name in costs if finite(scores[name].value) is not None}
    height = 290.0
    chart = Chart(_WIDTH, height, f"{sentence_case(metric.title)} against {axis}")
    ends = [end for name in points for end in costs[name]]
    log = max(ends) / min(ends) > 6
    x = Axis(*padded(ends, log=log, share=0.12), start=52, end=_WIDTH - 12, log=log)
    heights = [known for e in points.values() for end in (e.value, e.low, e.high) if (known := finite(end)) is not None]
    low, high = metric.clamp(*padded(heights, share=0.12))
    y = Axis(low, high, start=height - 44, end=28)
    scale = " (logarithmic)" if log else ""
    chart.axes(x, y, (f"{axis}{scale}", metric.axis_title), (lambda cost: brief(write(cost)), metric.tick))
    for group, (name, score) in enumerate(points.items()):
        text = f"{metric.title} {_interval_text(metric, score)}\n{axis} {write(costs[name].value)}"
        _point(chart, (x, y), name, score, costs[name], text, group)
    return chart.svg()


def _interval_text(metric: MetricDescription, score: Estimate) -> str:
    ends = bracket(score.low, score.high, lambda end: metric.text(end, unit=False))
    return f"{metric.text(score.value)} {ends}".rstrip()


def _point(
    chart: Chart, axes: tuple[Axis, Axis], name: str, score: Estimate, cost: Cost, text: str, group: int
) -> None:
    x, y = axes
    assert score.value is not None
    at = (x(cost.value), y(score.value))
    low, high = finite(score.low), finite(score.high)
    if low is not None and high is not None:
        chart.add(_bar(model_class(name), (at[0], y(low)), (at[0], y(high))))
    if cost.high > cost.low:
        chart.add(_bar(model_class(name), (x(cost.low), at[1]), (x(cost.high), at[1])))
    chart.add(marker(name, *at))
    chart.mark(*at, f"{title(name)}\n{text}", group)
