"""The table at the end of a run."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from limbeck.report import summary_table, summary_text
from limbeck.report.table import summary_rows


def printed(results: dict[str, Any], width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(summary_table(results))
    return stream.getvalue()


def test_rows_hold_the_values_in_the_order_of_the_report(results: dict[str, Any]) -> None:
    results["models"] = dict(reversed(results["models"].items()))
    assert summary_rows(results) == [
        ("teacher", "98.7% [97.5, 99.9]", "0.014", "697,802", "2.80 MB", "2.31 ms"),
        ("control", "91.4% [90.2, 92.6]", "0.039", "19,842", "84.4 kB", "0.412 ms"),
        ("student", "98.4% [97.2, 99.6]", "0.015", "19,842", "84.4 kB", "0.415 ms"),
        ("exported student", "98.5% [97.3, 99.7]", "0.015", "19,842", "84.4 kB", "0.094 ms"),
    ]


def test_table_and_text_show_the_same_and_fit(results: dict[str, Any]) -> None:
    text = summary_text(results)
    assert printed(results, 80).split() == text.split()
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_the_metric_that_decides_leads(results: dict[str, Any]) -> None:
    results["metric"] = "macro_f1"
    assert [row[1] for row in summary_rows(results)][:2] == ["98.5% [97.2, 99.8]", "91.2% [89.9, 92.5]"]
    assert summary_text(results).split()[1] == "macro-F1"


def test_wide_values_fit_in_100_characters(results: dict[str, Any]) -> None:
    model = results["models"]["teacher"]
    model["metrics"]["accuracy"] = {"value": 1.0, "low": 1.0, "high": 1.0}
    model["cost"] = {"parameters": 7_123_456_789, "bytes": 28_493_827_156, "latency_ms": {"median": 12_345.6}}
    results["models"] = {"a_name_that_is_much_longer_than_any_column": model}
    assert max(map(len, summary_text(results).splitlines())) <= 100
    assert "…" in summary_text(results)


def test_names_are_not_markup(results: dict[str, Any]) -> None:
    results["models"] = {"[red]x[/red]": results["models"]["student"]}
    assert "[red]x[/red]" in printed(results, 100)


def test_missing_values_are_dashes(results: dict[str, Any]) -> None:
    results["models"] = {"student": {"metrics": {"accuracy": {"value": float("nan")}}}}
    assert summary_rows(results) == [("student", "–", "–", "–", "–")]
