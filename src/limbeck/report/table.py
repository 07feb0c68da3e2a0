"""The table that ends a run on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from limbeck.report.formatting import bracket, count, metric_text, metric_title, milliseconds, percent, size
from limbeck.report.results import Estimate, Latency, ModelResult, Results, parse_results, title

__all__ = ["summary_rows", "summary_table", "summary_text"]

_LONGEST_NAME = 22


def summary_rows(results: Mapping[str, Any] | Results) -> list[tuple[str, ...]]:
    """One row per model: name, the deciding metric with its interval, calibration error, parameters, bytes, latency.

    The latency is the median for one row.

    Args:
        results: the content of results.json.

    >>> from limbeck.report.table import summary_rows
    >>> metrics = {"accuracy": {"value": 0.984, "low": 0.97, "high": 0.99}}
    >>> raw = {"schema": 1, "recipe": "r", "task": "t", "models": {"student": {"metrics": metrics}}}
    >>> summary_rows(raw)
    [('student', '98.4% [97.0, 99.0]', '–', '–', '–', '–')]
    """
    checked = results if isinstance(results, Results) else parse_results(results)
    return [_row(name, model, checked.metric) for name, model in checked.models.items()]


def summary_table(results: Mapping[str, Any] | Results) -> Table:
    """The rows of `summary_rows` as a table for a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, name in enumerate(_header(results)):
        table.add_column(name, justify="right" if column else "left", no_wrap=True)
    for row in summary_rows(results):
        table.add_row(*map(Text, row))
    return table


def summary_text(results: Mapping[str, Any] | Results) -> str:
    """The rows of `summary_rows` as plain text, for a file or a pipe."""
    rows = [_header(results), *summary_rows(results)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _header(results: Mapping[str, Any] | Results) -> tuple[str, ...]:
    checked = results if isinstance(results, Results) else parse_results(results)
    return ("model", metric_title(checked.metric), "ECE", "parameters", "bytes", "latency")


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join([first, *(cell.strip().rjust(width) for cell, width in zip(others, widths[1:], strict=True))])


def _row(name: str, model: ModelResult, metric: str) -> tuple[str, ...]:
    shown = title(name)
    return (
        shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…",
        _share(model.metric(metric)),
        metric_text("expected_calibration_error", model.metric("expected_calibration_error").value),
        count(model.cost.parameters),
        size(model.cost.bytes),
        milliseconds((model.cost.latency_ms or Latency()).median),
    )


def _share(estimate: Estimate) -> str:
    interval = bracket(estimate.low, estimate.high, lambda end: percent(end, unit=False))
    return f"{percent(estimate.value)} {interval}".rstrip()
