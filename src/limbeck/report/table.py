"""The table that a run prints when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from limbeck.report.formatting import bracket, count, milliseconds, size
from limbeck.report.metric_description import MetricDescription
from limbeck.report.results import Estimate, Latency, ModelResult, Results, parse_results, title

__all__ = ["summary_rows", "summary_table", "summary_text"]

_LONGEST_NAME = 22


def summary_rows(results: Mapping[str, Any] | Results) -> list[tuple[str, ...]]:
    """One row per model: name, metrics, parameters, bytes and the median latency for one row.

    The metric that decides comes first, with its interval, then those that have a ``column``.

    Args:
        results: the content of results.json.

    >>> from limbeck.report.table import summary_rows
    >>> metrics = {"error": {"title": "error", "unit": "kg", "higher_is_better": False}}
    >>> models = {"student": {"metrics": {"error": {"value": 3.2, "low": 3.1, "high": 3.4}}}}
    >>> task = {"input": "4 numbers", "output": "1 number"}
    >>> raw = {"schema": 1, "recipe": "r", "task": "t", "task_description": task, "metric": "error"}
    >>> summary_rows(raw | {"metrics": metrics, "models": models})
    [('student', '3.20 kg [3.10, 3.40]', '–', '–', '–')]
    """
    checked = _parsed(results)
    columns = _columns(checked)
    return [_row(name, model, checked.metric, checked.main, columns) for name, model in checked.models.items()]


def summary_table(results: Mapping[str, Any] | Results) -> Table:
    """The rows of `summary_rows` as a table for a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, name in enumerate(_header(results)):
        table.add_column(Text(name), justify="right" if column else "left", no_wrap=True)
    for row in summary_rows(results):
        table.add_row(*map(Text, row))
    return table


def summary_text(results: Mapping[str, Any] | Results) -> str:
    """The rows of `summary_rows` as plain text, for a file or a pipe."""
    rows = [_header(results), *summary_rows(results)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _parsed(results: Mapping[str, Any] | Results) -> Results:
    return results if isinstance(results, Results) else parse_results(results)


def _columns(results: Results) -> dict[str, MetricDescription]:
    """The metrics beside the one that decides."""
    described = {name: results.metrics[name] for name in results.measured if name != results.metric}
    return {name: metric for name, metric in described.items() if metric.column}


def _header(results: Mapping[str, Any] | Results) -> tuple[str, ...]:
    checked = _parsed(results)
    others = (metric.column for metric in _columns(checked).values())
    return ("model", checked.main.title, *others, "parameters", "bytes", "latency")


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join([first, *(cell.strip().rjust(width) for cell, width in zip(others, widths[1:], strict=True))])


def _row(
    name: str, model: ModelResult, metric: str, main: MetricDescription, columns: Mapping[str, MetricDescription]
) -> tuple[str, ...]:
    shown = title(name)
    return (
        shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…",
        _estimate(main, model.metric(metric)),
        *(described.text(model.metric(other).value) for other, described in columns.items()),
        count(model.cost.parameters),
        size(model.cost.bytes),
        milliseconds((model.cost.latency_ms or Latency()).median),
    )


def _estimate(metric: MetricDescription, estimate: Estimate) -> str:
    interval = bracket(estimate.low, estimate.high, lambda end: metric.text(end, unit=False))
    return f"{metric.text(estimate.value)} {interval}".rstrip()
