"""Report, card and table of a task that the package does not know, without classes, with an error in mg/dl."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from limbeck.report import summary_text, write_model_card, write_report
from limbeck.report.table import summary_rows

VALUES = {"teacher": 9.61, "control": 14.32, "student": 11.07, "exported": 11.07}


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.85, "high": value + 0.85}


def made_up_results() -> dict[str, Any]:
    seeds = {"control": [0, 1], "student": [0, 1]}
    models = {
        name: {
            "metrics": {
                "hit_rate": {"value": 1 - value / 40, "low": 0.5, "high": 0.9},
                "glucose_error": estimate(value),
            },
            "scope": "rows+seeds" if name in seeds else "rows",
            "cost": {"parameters": 500, "bytes": 2100, "latency_ms": {"median": 0.02, "low": 0.019, "high": 0.022}},
            "seeds": [{"seed": s, "metrics": {"glucose_error": value + s - 0.5}} for s in seeds.get(name, [0])],
        }
        for name, value in VALUES.items()
    }
    pair = {"a": "student", "scope": "rows+seeds"}
    return {
        "schema": 1,
        "recipe": "sugar",
        "task": "glucose_forecast",
        "task_description": {
            "input": "288 readings of a sensor",
            "output": "the glucose in 30 minutes, in mg/dl",
            "row": "day",
            "label": "reading",
            "snippet": "print('forecast')",
            "command": "limbeck predict . day.csv",
            "limits": ["A forecast is a single number without an interval."],
            "pipeline_tag": "time-series-forecasting",
        },
        "test_rows": 90,
        "seeds": [0, 1],
        "metric": "glucose_error",
        "metrics": {
            "glucose_error": {
                "title": "glucose error",
                "unit": "mg/dl",
                "higher_is_better": False,
                "is_share": False,
                "bounds": [None, None],
                "needs_reference": False,
            },
            "hit_rate": {"title": "hit rate", "unit": "", "higher_is_better": True, "is_share": True, "bounds": [0, 1]},
        },
        "label_budget": {"training": 700, "interpolated": 1250},
        "models": models,
        "comparisons": [
            {**pair, "b": "control", "metric": "glucose_error", "difference": -3.25, "low": -4.1, "high": -2.4},
            {**pair, "b": "teacher", "metric": "glucose_error", "difference": 1.46, "low": 0.3, "high": 2.6},
            {**pair, "b": "control", "metric": "hit_rate", "difference": 0.081, "low": -0.02, "high": 0.18},
        ],
        "export": {"file": "export/student.onnx", "max_difference": 2e-6, "tolerance": 1e-4, "rows": 90},
        "verdict": "Distillation helped.",
    }


def made_up_events() -> list[dict[str, Any]]:
    return [
        {"stage": stage, "seed": 0, "step": step, "loss": 900 / step, "validation": {"glucose_error": 200 / step}}
        for stage in ("teacher", "control", "student")
        for step in (10, 20, 30)
    ]


@pytest.fixture
def results() -> dict[str, Any]:
    return made_up_results()


@pytest.fixture
def run(tmp_path: Path, results: dict[str, Any], write: Callable[..., Path]) -> Path:
    return write(tmp_path / "run", results, made_up_events(), "data: {use: sensor}\n")


@pytest.fixture
def page(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def table_rows(part: str) -> list[list[str]]:
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", part)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [[re.sub(r"<small>", "|", cell).replace("</small>", "") for cell in row] for row in cells]


def test_the_main_table_starts_with_the_metric_that_decides_and_shows_unit_and_direction(page: str) -> None:
    main = page[page.index('class="main-table"') : page.index("Every seed")]
    _, error, hits, *_ = table_rows(main)
    assert error == [
        "glucose error|lower is better",
        "9.6 mg/dl|[8.8, 10.5]",
        "14.3 mg/dl|[13.5, 15.2]",
        "11.1 mg/dl|[10.2, 11.9]",
        "11.1 mg/dl|[10.2, 11.9]",
    ]
    assert hits[:2] == ["hit rate|higher is better", "76.0%|[50.0, 90.0]"]


def test_differences_are_in_the_unit_or_in_points_and_name_the_better_model(page: str) -> None:
    rows = table_rows(page[page.index('class="differences"') :])[1:4]
    assert rows == [
        ["student − control|glucose error", "−3.2 mg/dl", "[−4.1, −2.4]|over rows and seeds", "student"],
        ["student − teacher|glucose error", "+1.5 mg/dl", "[+0.3, +2.6]|over rows and seeds", "teacher"],
        ["student − control|hit rate", "+8.1 points", "[−2.0, +18.0]|over rows and seeds", "not clear"],
    ]
    assert "difference in glucose error (mg/dl), left is better" in page
    assert "difference in hit rate (points), right is better" in page


def test_axes_are_in_the_unit_of_the_metric(page: str) -> None:
    assert "<h2>Glucose error against cost</h2>" in page
    assert ">glucose error (mg/dl), lower is better<" in page
    assert ">validation glucose error (mg/dl), lower is better<" in page
    assert "student\\nglucose error 11.1 mg/dl [10.2, 11.9]\\nlatency, one row 0.020 ms" in page
    assert "student, seed 0\\nstep 10\\nvalidation glucose error 20.0 mg/dl" in page


def test_sections_without_data_are_left_out(page: str) -> None:
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "Results on the test split",
        "Differences",
        "Learning curves",
        "Glucose error against cost",
    ]
    body = page[page.index("<body>") : page.index("<script>")]
    assert not re.search("class(es)?[^a-z=]|accuracy|calibration|logit|image", re.sub('class="[^"]*"', "", body))


def test_costs_that_no_model_has_are_left_out(page: str) -> None:
    main = page[page.index('class="main-table"') : page.index("Every seed")]
    assert [row[0].partition("|")[0] for row in table_rows(main)[3:]] == ["parameters", "file size", "latency"]


def test_the_header_lists_what_the_task_and_the_label_budget_say(page: str) -> None:
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert facts == {
        "task": "glucose forecast",
        "input": "288 readings of a sensor",
        "output": "the glucose in 30 minutes, in mg/dl",
        "test rows": "90",
        "seeds": "0, 1",
        "training labels": "700",
        "interpolated": "1,250",
    }


def test_the_card_describes_the_task_in_its_own_words(run: Path) -> None:
    card = write_model_card(run).read_text(encoding="utf-8")
    assert "A model for glucose forecast, trained by knowledge distillation with limbeck." in card
    assert "- Input: 288 readings of a sensor\n- Output: the glucose in 30 minutes, in mg/dl\n" in card
    assert "The student was trained with 700 training labels. In addition: 1,250 interpolated." in card
    assert "| glucose error (lower is better) | 9.6 mg/dl [8.8, 10.5] | 14.3 mg/dl [13.5, 15.2] |" in card
    assert "- student − control, glucose error: −3.2 mg/dl [−4.1, −2.4], student is better\n" in card
    assert "- student − teacher, glucose error: +1.5 mg/dl [+0.3, +2.6], teacher is better\n" in card
    assert "- student − control, hit rate: +8.1 points [−2.0, +18.0], not clear\n" in card
    assert "- A forecast is a single number without an interval.\n" in card
    assert "```python\nprint('forecast')\n```" in card
    assert "```sh\nlimbeck predict . day.csv\n```" in card
    assert not re.search("class|accuracy|calibration|logit|image", card.split("```yaml")[0].split("---\n", 2)[2])


def test_the_card_is_filed_under_the_names_of_the_hub(run: Path) -> None:
    _, front, _ = write_model_card(run).read_text(encoding="utf-8").split("---\n", 2)
    content = yaml.safe_load(front)
    assert content["pipeline_tag"] == "time-series-forecasting"
    metrics = content["model-index"][0]["results"][0]["metrics"]
    values = {metric["type"]: metric["value"] for metric in metrics}
    assert values == {"hit_rate": 1 - 11.07 / 40, "glucose_error": 11.07}


def test_the_table_shows_the_metric_that_decides_in_its_unit(results: dict[str, Any]) -> None:
    assert summary_rows(results)[2] == ("student", "11.1 mg/dl [10.2, 11.9]", "500", "2.10 kB", "0.020 ms")
    assert summary_text(results).split("\n")[0].split("  ")[0] == "model"
    assert " glucose error " in summary_text(results).split("\n")[0]


def test_a_metric_with_a_column_is_in_the_table(results: dict[str, Any]) -> None:
    results["metrics"]["hit_rate"]["column"] = "hits"
    assert [row[2] for row in summary_rows(results)] == ["76.0%", "64.2%", "72.3%", "72.3%"]
    assert " hits " in summary_text(results).split("\n")[0]


def test_models_stand_in_the_same_order_everywhere(run: Path, results: dict[str, Any], page: str) -> None:
    order = ["teacher", "control", "student", "exported student"]
    heads = re.findall(r'role="columnheader">(?:<svg.*?</svg>)?([^<]*)<', page)
    assert heads[1:5] == order
    assert [row[0] for row in summary_rows(results)] == order
    card = write_model_card(run).read_text(encoding="utf-8")
    assert f"|  | {' | '.join(order)} |" in card
