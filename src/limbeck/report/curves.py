"""Learning curves: a quantity of the event log against the training step, one line per model and seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from limbeck.report.formatting import brief, finite, significant
from limbeck.report.metric_description import MetricDescription
from limbeck.report.results import title
from limbeck.report.svg import Axis, Chart, element, model_class, padded

__all__ = [
    "FINETUNE",
    "LOSS",
    "Line",
    "Quantity",
    "curve_plot",
    "model_of",
    "read_lines",
    "thin",
    "validation",
]

FINETUNE = "finetune"  # the student's last stage, on hard labels
_TAUGHT = "teacher_"  # and the name of a teacher that is not called so
_ORDER = ("teacher", "control", "student", FINETUNE)

Event = Mapping[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """The points (step, value) that one stage logged with one seed."""

    stage: str
    seed: int
    points: list[Point]

    @property
    def name(self) -> str:
        stage = "student, fine-tuning" if self.stage == FINETUNE else title(model_of(self.stage))
        return f"{stage}, seed {self.seed}"


class Quantity(NamedTuple):
    """A logged number: how it is read from an event and written, and the axis that it is drawn on.

    The axis is logarithmic if ``may_be_log`` and all values are positive and span more than a factor of 30.
    """

    title: str
    axis_title: str
    read: Callable[[Event], float | None]
    write: Callable[[float | None], str]
    tick: Callable[[float], str]
    may_be_log: bool
    clamp: Callable[[float, float], tuple[float, float]]


def _number(value: object) -> float | None:
    return finite(value) if isinstance(value, int | float) else None


def _validated(event: Event, metric: str) -> float | None:
    validation = event.get("validation")
    return _number(validation.get(metric)) if isinstance(validation, Mapping) else None


LOSS = Quantity(
    "training loss",
    "training loss",
    lambda event: _number(event.get("loss")),
    significant,
    lambda value: brief(significant(value)),
    may_be_log=True,
    clamp=lambda low, high: (low, high),
)


def validation(name: str, metric: MetricDescription) -> Quantity:
    """The metric that decides, on validation rows."""
    return Quantity(
        f"validation {metric.title}",
        f"validation {metric.axis_title}",
        lambda event: _validated(event, name),
        metric.text,
        metric.tick,
        may_be_log=not metric.is_share,
        clamp=metric.clamp,
    )


def model_of(stage: str) -> str:
    """The model that a stage trains.

    >>> model_of("teacher"), model_of("teacher_large")
    ('teacher', 'large')
    """
    return "student" if stage == FINETUNE else stage.removeprefix(_TAUGHT)


def read_lines(events: Iterable[Event], quantity: Quantity) -> list[Line]:
    """The lines of one quantity; fine-tuning is drawn after the last step of the student of its seed."""
    points: dict[tuple[str, int], list[Point]] = {}
    last: dict[int, float] = {}
    for event in events:
        stage, seed, step = str(event["stage"]), int(event["seed"]), float(event["step"])
        if stage == "student":
            last[seed] = max(step, last.get(seed, 0.0))
        known = quantity.read(event)
        if known is not None:
            points.setdefault((stage, seed), []).append((step, known))
    lines = [
        Line(stage, seed, _moved(found, last.get(seed, 0.0) if stage == FINETUNE else 0.0))
        for (stage, seed), found in points.items()
    ]
    return sorted(lines, key=lambda line: _place(line.stage))


def _place(stage: str) -> int:
    stage = "teacher" if stage.startswith(_TAUGHT) else stage
    return _ORDER.index(stage) if stage in _ORDER else len(_ORDER)


def _moved(points: list[Point], steps: float) -> list[Point]:
    return [(step + steps, value) for step, value in points]


def thin(points: list[Point], limit: int = 150) -> list[Point]:
    """At most so many points: each the mean of a run of neighbours.

    >>> thin([(1.0, 4.0), (2.0, 2.0), (3.0, 1.0)], limit=2)
    [(1.5, 3.0), (3.0, 1.0)]
    """
    every = math.ceil(len(points) / limit)
    runs = [points[start : start + every] for start in range(0, len(points), max(1, every))]
    return [(sum(p[0] for p in run) / len(run), sum(p[1] for p in run) / len(run)) for run in runs]


def curve_plot(lines: list[Line], quantity: Quantity) -> str:
    """All lines of one quantity on one chart; each line has at least one point."""
    drawn = [(line, thin(line.points)) for line in lines]
    values = [value for _, points in drawn for _, value in points]
    log = quantity.may_be_log and min(values) > 0 and max(values) / min(values) > 30
    chart = Chart(400, 290, f"{quantity.title} against training step")
    low, high = quantity.clamp(*padded(values, log=log, share=0.05))
    x = Axis(0.0, max(step for _, points in drawn for step, _ in points) or 1.0, start=52, end=386)
    y = Axis(low, high, start=246, end=28, log=log)
    scale = " (logarithmic)" if log else ""
    titles = ("training step", f"{quantity.axis_title}{scale}")
    chart.axes(x, y, titles, (lambda step: f"{step:,.0f}", quantity.tick))
    for group, (line, points) in enumerate(drawn):
        places = [(x(step), y(value)) for step, value in points]
        chart.add(_stroke(line, places))
        for (step, value), place in zip(points, places, strict=True):
            chart.mark(*place, f"{line.name}\nstep {step:,.0f}\n{quantity.title} {quantity.write(value)}", group)
    return chart.svg()


def _stroke(line: Line, places: list[Point]) -> str:
    colour = model_class(model_of(line.stage))
    if len(places) == 1:
        return element("circle", class_=f"mark {colour}", cx=places[0][0], cy=places[0][1], r=2)
    dashed = " dashed" if line.stage == FINETUNE else ""
    return element("polyline", class_=f"line {colour}{dashed}", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places))
