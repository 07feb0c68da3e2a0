"""Charts of one model's predictions: its reliability diagram and its confusion matrix."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from limbeck.report.formatting import count, counted, finite, percent
from limbeck.report.results import ModelResult, title
from limbeck.report.svg import Axis, Chart, element, model_class

__all__ = ["LARGEST_CONFUSION", "confused_pairs", "confusion_plot", "reliability_plot"]

LARGEST_CONFUSION = 30  # more classes leave cells too small to point at


def reliability_plot(name: str, model: ModelResult, decision: str) -> str:
    """Observed frequency against confidence, bin by bin.

    A larger circle stands for more predictions; its stem is the gap to the diagonal.

    Args:
        name: of the model.
        model: with its bins.
        decision: what one prediction is made for, such as "image".
    """
    chart = Chart(240, 258, f"Reliability diagram of the {title(name)}", "small")
    x, y = Axis(0, 1, start=42, end=228), Axis(0, 1, start=214, end=28)
    _percent_axes(chart, x, y)
    chart.add(element("line", class_="diagonal", x1=x(0), y1=y(0), x2=x(1), y2=y(1)))
    largest = max((part.count for part in model.reliability), default=0)
    for part in model.reliability:
        confidence, frequency = finite(part.confidence), finite(part.accuracy)
        if not part.count or confidence is None or frequency is None:
            continue
        at = (x(confidence), y(frequency))
        radius = 2.5 + 7.5 * math.sqrt(part.count / largest)
        colour = model_class(name)
        chart.add(element("line", class_=f"gap {colour}", x1=at[0], x2=at[0], y1=y(confidence), y2=at[1]))
        chart.add(element("circle", class_=f"bubble {colour}", cx=at[0], cy=at[1], r=radius))
        text = (
            f"{title(name)}, confidence {percent(part.low)} to {percent(part.high)}\n{counted(part.count, decision)}\n"
            f"mean confidence {percent(confidence)}\nobserved frequency {percent(frequency)}"
        )
        chart.mark(*at, text, len(chart.marks))
    return chart.svg()


def _percent_axes(chart: Chart, x: Axis, y: Axis) -> None:
    for share in (0.0, 0.5, 1.0):
        text = f"{100 * share:.0f}%"
        chart.add(element("line", class_="grid", x1=x.start, x2=x.end, y1=y(share), y2=y(share)))
        chart.add(element("line", class_="grid", x1=x(share), x2=x(share), y1=y.start, y2=y.end))
        chart.add(element("text", text, class_="tick", x=x.start - 5, y=y(share) + 4, text_anchor="end"))
        anchor = "end" if share == 1 else "middle"
        place = x(share) + (6 if share == 1 else 0)
        chart.add(element("text", text, class_="tick", x=place, y=y.start + 17, text_anchor=anchor))
    chart.add(element("text", "observed frequency", class_="title", x=2, y=14))
    chart.add(
        element("text", "confidence", class_="title", x=(x.start + x.end) / 2, y=y.start + 35, text_anchor="middle")
    )


def confusion_plot(
    name: str, classes: Sequence[str], matrix: Sequence[Sequence[float]], *, label: str, decision: str
) -> str:
    """Rows are true labels, columns predicted ones; a cell is as dark as the square root of its share of the row.

    Args:
        name: of the model.
        classes: the names of rows and columns.
        matrix: the counts.
        label: what is predicted, such as "class".
        decision: what one prediction is made for, such as "image".
    """
    length = 12
    short = [each if len(each) <= length else each[: length - 1] + "…" for each in classes]
    longest = max(map(len, short))
    margin = 26 + 7.2 * longest
    top = 30 + (7.2 * longest if longest > 2 else 12)
    cell = (400 - margin - 4) / len(classes)
    chart = Chart(400, top + cell * len(classes) + 6, f"Confusion matrix of the {title(name)}", "confusion")
    chart.add(
        element("text", html.escape(f"rows: true {label}, columns: predicted {label}"), class_="title", x=2, y=12)
    )
    for index, shown in enumerate(short):
        middle = (index + 0.5) * cell
        chart.add(
            _row_label(shown, margin - 6, top + middle, cell),
            _column_label(shown, margin + middle, top - 6, longest, cell),
        )
    for row, counts in enumerate(matrix):
        total = sum(counts)
        for column, number in enumerate(counts):
            corner = (margin + column * cell, top + row * cell)
            chart.add(_cell(name, corner, cell, number, number / total if total else 0.0, wrong=row != column))
            share = percent(number / total if total else None)
            text = (
                f"true {classes[row]}\npredicted {classes[column]}\n"
                f"{counted(number, decision)}, {share} of the true {label}"
            )
            chart.mark(corner[0] + cell / 2, corner[1] + cell / 2, f"{title(name)}\n{text}", row)
    return chart.svg()


def _row_label(label: str, x: float, y: float, cell: float) -> str:
    return element("text", html.escape(label), class_="name", style=_font(cell), x=x, y=y + 4, text_anchor="end")


def _column_label(label: str, x: float, y: float, longest: int, cell: float) -> str:
    if longest <= 2:
        return element("text", html.escape(label), class_="name", style=_font(cell), x=x, y=y, text_anchor="middle")
    turn = f"rotate(-90 {x + 4:.1f} {y:.1f})"
    return element("text", html.escape(label), class_="name", style=_font(cell), x=x + 4, y=y, transform=turn)


def _font(cell: float) -> str:
    return f"font-size:{min(12.0, max(6.0, cell * 0.95)):.1f}px"


def _cell(name: str, corner: tuple[float, float], cell: float, number: float, share: float, *, wrong: bool) -> str:
    x, y = corner
    kind = "cell wrong" if wrong else "cell"
    square = element(
        "rect",
        class_=f"{kind} {model_class(name)}",
        style=f"--v:{math.sqrt(share):.3f}",
        x=x + 0.5,
        y=y + 0.5,
        width=cell - 1,
        height=cell - 1,
    )
    text = count(number)
    font = min(12.0, cell / (0.68 * len(text)))
    if not number or font < 6:
        return square
    place = {"x": x + cell / 2, "y": y + cell / 2 + font * 0.36}
    return square + element(
        "text", text, class_="count", style=f"font-size:{font:.1f}px", text_anchor="middle", **place
    )


def confused_pairs(matrix: Sequence[Sequence[float]], limit: int = 20) -> list[tuple[int, int, float]]:
    """The most frequent mistakes: true class, predicted class, number of rows, most frequent first.

    >>> confused_pairs([[5, 1], [3, 5]])
    [(1, 0, 3), (0, 1, 1)]
    """
    pairs = [
        (row, column, number)
        for row, counts in enumerate(matrix)
        for column, number in enumerate(counts)
        if row != column and number
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:limit]
