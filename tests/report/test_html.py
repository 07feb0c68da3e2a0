"""The page: whole, escaped, without outside parts, and true to results.json."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import RunError
from limbeck.report import write_report
from refusals import refused

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = "</script><b>&\"'"

Write = Callable[..., Path]


class Page(HTMLParser):
    """Every start tag with its attributes, the visible text, and a check that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing, at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data + " "

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def marks(self) -> list[list[Any]]:
        return [mark for svg in self.named("svg") if "data-marks" in svg for mark in json.loads(svg["data-marks"])]


def page_of(run: Path) -> Page:
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_page_is_written_into_the_run_and_leaves_nothing_beside(run: Path) -> None:
    before = {path.name for path in run.iterdir()}
    assert write_report(run) == run / "report.html"
    assert {path.name for path in run.iterdir()} == before | {"report.html"}


def test_page_loads_nothing_from_outside(run: Path) -> None:
    page = page_of(run)
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag
        assert not {"src", "href", "xlink:href", "srcset", "action", "data"} & attributes.keys(), (tag, attributes)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)


def test_page_names_every_model_and_shows_the_verdict(run: Path, results: dict[str, Any]) -> None:
    page = page_of(run)
    heads = re.findall(
        r'role="columnheader">(?:<svg.*?</svg>)?([^<]*)<', (run / "report.html").read_text(encoding="utf-8")
    )
    assert heads[:5] == ["", "teacher", "control", "student", "exported student"]
    assert results["verdict"] in page.text


def test_several_teachers_stand_first_and_the_student_is_compared_with_the_first(
    tmp_path: Path, results: dict[str, Any], events: list[dict[str, Any]], write: Write
) -> None:
    models = results["models"]
    models["large"], models["small"] = models.pop("teacher"), copy.deepcopy(models["control"])
    results["teachers"] = ["large", "small"]
    results["comparisons"][1]["b"] = "large"
    for event in events:
        event["stage"] = "teacher_large" if event["stage"] == "teacher" else event["stage"]
    run = write(tmp_path / "run", results, events)
    page = page_of(run)
    heads = re.findall(
        r'role="columnheader">(?:<svg.*?</svg>)?([^<]*)<', (run / "report.html").read_text(encoding="utf-8")
    )
    assert heads[:6] == ["", "large", "small", "control", "student", "exported student"]
    confused = {mark[2].partition("\n")[0] for mark in page.marks() if "\ntrue" in mark[2]}
    assert confused == {"student", "large"}
    assert any(mark[2].startswith("large, seed 0\nstep") for mark in page.marks())


def test_parts_stand_in_order(run: Path) -> None:
    text = (write_report(run)).read_text(encoding="utf-8")
    names = ["Results on the test split", "Differences", "Learning curves", "Accuracy against cost", "Reliability"]
    headings = [f"<h2>{name}</h2>" for name in [*names, "Confusion"]]
    places = [text.index(part) for part in ['class="verdict"', *headings, ">Recipe<", ">Environment<"]]
    assert places == sorted(places)


def test_another_metric_may_decide(run: Path, results: dict[str, Any]) -> None:
    (run / "results.json").write_text(json.dumps(results | {"metric": "macro_f1"}), encoding="utf-8")
    text = write_report(run).read_text(encoding="utf-8")
    assert "<h2>Macro-F1 against cost</h2>" in text
    assert any("control\nmacro-F1 91.2% [89.9, 92.5]\nlatency" in mark[2] for mark in page_of(run).marks())


def test_marks_carry_the_values_of_the_run(run: Path, results: dict[str, Any], events: list[dict[str, Any]]) -> None:
    texts = [mark[2] for mark in page_of(run).marks()]
    assert "student − control\naccuracy +7.0 points [+5.0, +9.0]\n95% interval over rows and seeds" in texts
    assert "control\naccuracy 91.4% [90.2, 92.6]\nlatency, one row 0.412 ms" in texts
    assert "teacher\naccuracy 98.7% [97.5, 99.9]\nfile size 2.80 MB" in texts
    confusion = results["models"]["student"]["confusion"]
    cells = [text for text in texts if text.startswith("student\ntrue")]
    assert [int(text.split("\n")[3].split()[0]) for text in cells] == [number for row in confusion for number in row]
    validated = next(event for event in events if event["stage"] == "student" and "validation" in event)
    accuracy = f"{100 * validated['validation']['accuracy']:.1f}%"
    assert f"student, seed 0\nstep {validated['step']}\nvalidation accuracy {accuracy}" in texts
    bins = [b for model in results["models"].values() for b in model["reliability"] if b["count"]]
    assert sum("mean confidence" in text for text in texts) == len(bins)


def test_learning_curves_have_one_line_per_model_and_seed(run: Path) -> None:
    lines = [attributes["class"] for attributes in page_of(run).named("polyline")]
    assert [lines.count(f"line m-{name}") for name in ("teacher", "control", "student")] == [2, 6, 6]


def test_everything_is_escaped(
    tmp_path: Path, results: dict[str, Any], events: list[dict[str, Any]], write: Write
) -> None:
    results["classes"][3] = HOSTILE
    results["verdict"] = f"verdict {HOSTILE}"
    results["recipe"] = f"recipe {HOSTILE}"
    results["models"][f"other {HOSTILE}"] = results["models"].pop("exported")
    results["comparisons"].append({**results["comparisons"][0], "b": HOSTILE, "metric": HOSTILE})
    results["metrics"] = {**results["metrics"], HOSTILE: {"title": HOSTILE, "unit": HOSTILE, "higher_is_better": True}}
    results["task_description"] = dict.fromkeys(("input", "output", "row", "label", "decision"), HOSTILE)
    results["models"]["student"]["metrics"][HOSTILE] = {"value": 0.5, "low": 0.4, "high": 0.6}
    events.append({"stage": HOSTILE, "seed": 0, "step": 1, "epoch": 0, "loss": 1.0})
    run = write(tmp_path / "run", results, events, f"note: {json.dumps(HOSTILE)}\n", {HOSTILE: {HOSTILE: HOSTILE}})
    page = page_of(run)
    assert len(page.named("script")) == 1
    assert page.named("b") == []
    assert f"verdict {HOSTILE}" in page.text
    assert any(f"true {HOSTILE}" in mark[2] for mark in page.marks())
    assert f"0.500 {HOSTILE}" in page.text


def test_surrogate_in_a_class_name_does_not_stop_the_page(
    tmp_path: Path, results: dict[str, Any], events: list[dict[str, Any]], write: Write
) -> None:
    results["classes"][0] = "caf\udce9"
    assert "caf?" in page_of(write(tmp_path / "run", results, events)).text


@pytest.mark.parametrize(
    "missing", [("control",), ("exported",), ("control", "exported"), ("teacher", "control", "exported")]
)
def test_models_may_be_missing(
    missing: tuple[str, ...], tmp_path: Path, results: dict[str, Any], events: list[dict[str, Any]], write: Write
) -> None:
    for name in missing:
        del results["models"][name]
    results["comparisons"] = [c for c in results["comparisons"] if c["b"] not in missing]
    events = [event for event in events if event["stage"] not in missing]
    page = page_of(write(tmp_path / "run", results, events))
    classes = " ".join(attributes.get("class", "") for _, attributes in page.tags)
    for name in missing:
        assert f"m-{name}" not in classes.split()
    assert "student" in page.text


def test_unknown_values_are_a_dash(
    tmp_path: Path, results: dict[str, Any], events: list[dict[str, Any]], write: Write
) -> None:
    nan, inf = float("nan"), float("inf")
    for name in ("teacher", "student"):
        results["models"][name]["metrics"]["accuracy"] = {"value": nan, "low": -inf, "high": None}
        results["models"][name]["cost"] = {"parameters": inf, "bytes": None, "latency_ms": {"median": nan, "low": 0.1}}
    results["comparisons"][0]["difference"] = nan
    results["export"]["max_difference"] = None
    events[0]["loss"] = nan
    page = page_of(write(tmp_path / "run", results, events))
    assert not re.search(r"\b(nan|inf|None|null)\b", page.text, re.IGNORECASE)
    assert "–" in page.text
    assert "No latency was measured for: teacher, student." in page.text


def test_run_that_measured_and_trained_almost_nothing_has_a_page(
    tmp_path: Path, results: dict[str, Any], write: Write
) -> None:
    results["models"] = {"student": {}}
    results["comparisons"], results["export"], results["classes"], results["verdict"] = [], None, [], ""
    run = write(tmp_path / "run", results, [], "{}\n", {})
    assert page_of(run).marks() == []
    text = (run / "report.html").read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", text) == ["Results on the test split"]


def test_many_classes_give_a_list_of_mistakes(
    tmp_path: Path, results: dict[str, Any], events: list[dict[str, Any]], write: Write
) -> None:
    confusion = [[5 if row == column else 0 for column in range(31)] for row in range(31)]
    confusion[7][9] = 3
    results["classes"] = [f"class{index}" for index in range(31)]
    for model in results["models"].values():
        model["confusion"] = confusion
    page = page_of(write(tmp_path / "run", results, events))
    assert not any("Confusion" in svg.get("aria-label", "") for svg in page.named("svg"))
    assert re.search(r"class7\s+class9\s+3\b", page.text)


def test_fine_tuning_continues_the_student(
    tmp_path: Path, results: dict[str, Any], events: list[dict[str, Any]], write: Write
) -> None:
    events += [{"stage": "finetune", "seed": 1, "step": step, "epoch": 0, "loss": 0.01} for step in (10, 20)]
    page = page_of(write(tmp_path / "run", results, events))
    texts = [mark[2] for mark in page.marks()]
    assert "student, fine-tuning, seed 1\nstep 610\ntraining loss 0.0100" in texts
    assert [a["class"] for a in page.named("polyline")].count("line m-student dashed") == 1


def test_charts_have_names_and_every_mark_lies_inside_its_chart(run: Path) -> None:
    for svg in page_of(run).named("svg"):
        if "data-marks" not in svg:
            assert svg["aria-hidden"] == "true"
            continue
        assert svg["aria-label"]
        assert svg["tabindex"] == "0"
        _, _, width, height = map(float, svg["viewbox"].split())
        for x, y, text, _ in json.loads(svg["data-marks"]):
            assert 0 <= x <= width, text
            assert 0 <= y <= height, text


@pytest.mark.parametrize("name", ["results.json", "events.jsonl", "recipe.yaml", "environment.json"])
@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"[1, 2"])
def test_file_that_cannot_be_used_is_named(run: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (run / name).unlink()
    elif name == "events.jsonl":
        (run / name).write_bytes(content + b"\n{}\n")
    else:
        (run / name).write_bytes(content)
    with pytest.raises(RunError, match=re.escape(name)) as caught:
        write_report(run)
    assert "\n" not in str(caught.value)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema": 2}, "schema"),
        ({"metric": "f2"}, "metrics"),
        ({"models": {}}, "models"),
        ({"models": {"student": {"cost": {"parameters": "many"}}}}, "models.student.cost.parameters"),
        ({"models": {"student": {"confusion": [[1, 2], [3]]}}}, "models.student.confusion"),
    ],
)
def test_results_of_another_shape_are_refused(
    change: dict[str, Any], where: str, tmp_path: Path, results: dict[str, Any], write: Write
) -> None:
    with pytest.raises(RunError, match=rf"results\.json.*: {re.escape(where)}: "):
        write_report(write(tmp_path / "run", {**results, **change}, []))


def test_broken_last_event_is_a_killed_run(run: Path) -> None:
    whole = write_report(run).read_text(encoding="utf-8")
    with (run / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"stage": "student", "se')
    assert write_report(run).read_text(encoding="utf-8") == whole


@pytest.mark.parametrize("line", ['{"stage": "student", "se', "[]", '{"seed": 0, "step": 1}'])
def test_broken_event_elsewhere_is_named_with_its_line(run: Path, line: str) -> None:
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    (run / "events.jsonl").write_text("\n".join([*lines[:4], line, *lines[4:]]), encoding="utf-8")
    with refused(RunError, "damaged", f"{run / 'events.jsonl'}, line 5"):
        write_report(run)


def test_page_that_cannot_be_written_leaves_the_old_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write_report(run).read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    (run / "recipe.yaml").write_text("schema: 1\n", encoding="utf-8")
    with refused(RunError, "unwritable", run / "report.html", match=r"report\.html: No space left on device"):
        write_report(run)
    assert (run / "report.html").read_bytes() == old
    assert not list(run.glob(".report*"))
