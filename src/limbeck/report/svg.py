"""Charts as SVG text: axes, marks that can be pointed at, and the colours of the models.

A chart lists its marks as `[x, y, text, group]` in one attribute. The page's script finds the mark that is nearest to
the pointer, and walks through them with the arrow keys, so no mark needs an element of its own.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Axis", "Chart", "element", "marker", "model_class", "padded"]

_FOUR = ("teacher", "control", "student", "exported")
_OTHERS = 3


def model_class(name: str) -> str:
    """The CSS class that gives a model its colour: the same one for the same name on every chart.

    >>> model_class("student"), model_class("student_pruned")
    ('m-student', 'm-other0')
    """
    return f"m-{name}" if name in _FOUR else f"m-other{sum(name.encode('utf-8', 'replace')) % _OTHERS}"


def element(tag: str, content: str = "", **attributes: str | float) -> str:
    """One SVG element; `class_` writes `class`, an underscore writes a hyphen, values are escaped.

    >>> element("text", "a", x=1.25, text_anchor="end")
    '<text x="1.2" text-anchor="end">a</text>'
    """
    written = "".join(f' {name.strip("_").replace("_", "-")}="{_value(value)}"' for name, value in attributes.items())
    return f"<{tag}{written}>{content}</{tag}>"


def _value(value: str | float) -> str:
    return html.escape(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def marker(name: str, x: float, y: float, radius: float = 5) -> str:
    """The mark of a model; its shape distinguishes it where colour cannot."""
    r = radius
    classes = f"mark {model_class(name)}"
    if name == "teacher":
        return element("rect", class_=classes, x=x - r * 0.9, y=y - r * 0.9, width=1.8 * r, height=1.8 * r)
    if name == "student":
        return element(
            "path", class_=classes, d=_path((x, y - 1.2 * r), (x + 1.2 * r, y), (x, y + 1.2 * r), (x - 1.2 * r, y))
        )
    if name == "exported":
        # Hollow and larger: it mostly lies on the student's mark, and both must be seen.
        corners = ((x, y - 2 * r), (x + 1.9 * r, y + 1.3 * r), (x - 1.9 * r, y + 1.3 * r))
        return element("path", class_=f"{classes} hollow", d=_path(*corners))
    return element("circle", class_=classes, cx=x, cy=y, r=r)


def _path(*points: tuple[float, float]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) + "Z"


@dataclass(frozen=True)
class Axis:
    """A scale from values to the chart's units, linear or logarithmic, with round ticks."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (self._inner(bound) for bound in (self.low, self.high, value))
        share = (at - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values between low and high, about five.

        >>> Axis(0.0, 1.0, 0, 100).ticks()
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        >>> Axis(0.5, 2000.0, 0, 100, log=True).ticks()
        [1.0, 10.0, 100.0, 1000.0]
        """
        return self._log_ticks() if self.log else self._linear_ticks()

    def _inner(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value

    def _linear_ticks(self) -> list[float]:
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-6), math.floor(self.high / step + 1e-6)
        return [float(f"{index * step:.12g}") for index in range(first, last + 1)]

    def _log_ticks(self) -> list[float]:
        decades = math.log10(self.high / self.low)
        factors = (1,) if decades > 2.5 else (1, 3) if decades > 1.4 else (1, 2, 5)
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        every = max(1, math.ceil(decades / 6))
        values = [float(f"{f * 10.0**e:.12g}") for e in exponents if e % every == 0 for f in factors]
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]


def padded(values: list[float], *, log: bool = False, share: float = 0.08) -> tuple[float, float]:
    """The range of some values with room on both sides, also when they are all the same.

    >>> padded([1.0, 2.0])
    (0.92, 2.08)
    """
    low, high = min(values), max(values)
    if log:
        room = max((high / low) ** share, 1.25)
        return low / room, high * room
    room = (high - low) * share or abs(low) * share or 1.0
    return low - room, high + room


class _Mark(NamedTuple):
    x: float
    y: float
    text: str
    group: int


@dataclass
class Chart:
    """A chart under construction: its elements, and the marks that show their values."""

    width: float
    height: float
    label: str
    classes: str = ""
    parts: list[str] = field(default_factory=list)
    marks: list[_Mark] = field(default_factory=list)

    def add(self, *parts: str) -> None:
        self.parts.extend(parts)

    def mark(self, x: float, y: float, text: str, group: int = 0) -> None:
        """A point that shows this text; the up and down keys move from group to group."""
        self.marks.append(_Mark(round(x, 1), round(y, 1), text, group))

    def axes(
        self, x: Axis, y: Axis, titles: tuple[str, str], write: tuple[Callable[[float], str], Callable[[float], str]]
    ) -> None:
        """Grid lines, tick labels and titles for a plot that fills the span of both axes."""
        for tick in y.ticks():
            self.add(element("line", class_="grid", x1=x.start, x2=x.end, y1=y(tick), y2=y(tick)))
            self.add(
                element(
                    "text", html.escape(write[1](tick)), class_="tick", x=x.start - 6, y=y(tick) + 4, text_anchor="end"
                )
            )
        for tick in x.ticks():
            self.add(element("line", class_="axis", x1=x(tick), x2=x(tick), y1=y.start, y2=y.start + 4))
            self.add(
                element(
                    "text", html.escape(write[0](tick)), class_="tick", x=x(tick), y=y.start + 17, text_anchor="middle"
                )
            )
        self.add(element("line", class_="axis", x1=x.start, x2=x.end, y1=y.start, y2=y.start))
        middle = (x.start + x.end) / 2
        self.add(
            element("text", html.escape(titles[0]), class_="title", x=middle, y=y.start + 35, text_anchor="middle")
        )
        self.add(element("text", html.escape(titles[1]), class_="title", x=2, y=12))

    def svg(self) -> str:
        """The whole element; it takes the keyboard's focus if it has marks."""
        cursor = element("circle", class_="cursor", r=7, cx=-20, cy=-20)
        keys = ". Arrow keys move through the values." if self.marks else ""
        return element(
            "svg",
            "".join(self.parts) + cursor,
            class_=f"chart {self.classes}".strip(),
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            role="img",
            aria_label=self.label + keys,
            tabindex="0" if self.marks else "-1",
            data_marks=json.dumps(self.marks, ensure_ascii=False, separators=(",", ":")),
        )
