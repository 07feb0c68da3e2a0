"""Recordings of golden runs: what counts as a difference, and how events in several files are read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden
import pytest
from golden_runs.comparison import differences
from golden_runs.recording import events, flatten

RECORD: dict[str, dict[str, Any]] = {
    "recipe": {"train/epochs": 2, "train/precision": "float32"},
    "results": {"models/student/metrics/accuracy/value": 0.9, "models/student/metrics/accuracy/low": 0.8},
    "events": {"student/seed=0/step=4/loss": 1.25},
    "weights": {"student/head.weight": "float32 [2] 00ff"},
    "outputs": {"student.onnx/logits": "float32 [2] 00ff"},
}


def changed(section: str, path: str, value: Any) -> dict[str, dict[str, Any]]:
    record = copy.deepcopy(RECORD)
    record[section][path] = value
    return record


def test_equal_records_have_no_difference() -> None:
    assert list(differences(RECORD, copy.deepcopy(RECORD))) == []


@pytest.mark.parametrize(
    ("section", "path", "value"),
    [
        ("weights", "student/head.weight", "float32 [2] 00fe"),
        ("outputs", "student.onnx/logits", "float32 [2] 00fe"),
        ("events", "student/seed=0/step=4/loss", 1.250001),
        ("results", "models/student/metrics/accuracy/value", 0.9 + 1e-12),
        ("results", "models/student/metrics/accuracy/low", 0.8 + 1e-6),
        ("recipe", "train/precision", "bfloat16"),
        ("recipe", "train/epochs", True),
    ],
)
def test_a_changed_value_is_named(section: str, path: str, value: Any) -> None:
    (line,) = differences(RECORD, changed(section, path, value))
    assert line.startswith(f"{section}: {path}: ")
    assert line.endswith(f"is now {value!r}")


def test_ends_of_intervals_may_move_by_their_last_bits() -> None:
    assert not list(differences(RECORD, changed("results", "models/student/metrics/accuracy/low", 0.8 + 1e-10)))


def test_a_missing_key_is_named_and_a_new_one_is_not() -> None:
    more = changed("results", "models/student/metrics/accuracy/unit", "%")
    more["sizes"] = {"rows": 3}
    assert list(differences(RECORD, more)) == []
    assert list(differences(more, RECORD)) == [
        "results: models/student/metrics/accuracy/unit: '%' is missing",
        "sizes: rows: 3 is missing",
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def into(name: str, record: dict[str, Any]) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "digits.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return into


def test_compare_exits_with_1_on_any_difference(
    write: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write("old", RECORD)
    assert golden.compare(old, write("same", RECORD)) == 0
    assert golden.compare(old, write("new", changed("weights", "student/head.weight", "float32 [2] 00fe"))) == 1
    assert capsys.readouterr().out.splitlines() == [
        "digits: no differences",
        "digits: 1 difference",
        "  weights: student/head.weight: 'float32 [2] 00ff' is now 'float32 [2] 00fe'",
    ]
    (tmp_path / "empty").mkdir()
    assert golden.compare(old, tmp_path / "empty") == 1
    assert golden.compare(tmp_path / "empty", old) == 1


def test_costs_and_times_are_left_out_and_entries_are_named_by_what_they_compare() -> None:
    results = {
        "models": {"student": {"cost": {"bytes": 5}, "seeds": [{"seed": 3, "value": 0.5}]}},
        "comparisons": [{"a": "student", "b": "control", "metric": "accuracy", "low": 0.1}],
        "export": {"bytes": 7, "file": "student.onnx"},
        "classes": ["0", "1"],
    }
    paths = dict(flatten(results))
    assert paths["models/student/seeds/seed=3/value"] == 0.5
    assert paths["comparisons/a=student,b=control,metric=accuracy/low"] == 0.1
    assert paths["classes"] == ["0", "1"]
    assert not any("cost" in path or "bytes" in path for path in paths)


def event(step: int, **values: Any) -> str:
    return json.dumps({"stage": "student", "seed": 0, "step": step, "seconds": step / 7, **values})


def test_events_are_the_same_from_one_file_and_from_several(tmp_path: Path) -> None:
    first, second = event(4, loss=1.5, terms={"hard": 2.0}), event(8, loss=1.0, terms={"hard": 1.0})
    scored = event(8, validation={"accuracy": 0.5})
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "events.jsonl").write_text("\n".join([first, second, scored]), encoding="utf-8")
    (tmp_path / "several" / "events").mkdir(parents=True)
    (tmp_path / "several" / "events" / "a.jsonl").write_text(first, encoding="utf-8")
    (tmp_path / "several" / "events" / "b.jsonl").write_text("\n".join([second, scored]), encoding="utf-8")
    (tmp_path / "several" / "joined.jsonl").write_text("\n".join([first, second, scored]), encoding="utf-8")
    assert events(tmp_path / "one") == {
        "student/seed=0/step=4/loss": 1.5,
        "student/seed=0/step=4/terms/hard": 2.0,
        "student/seed=0/step=8/loss": 1.0,
        "student/seed=0/step=8/terms/hard": 1.0,
        "student/seed=0/step=8/validation/accuracy": 0.5,
    }
    assert events(tmp_path / "several") == events(tmp_path / "one")


def test_two_values_for_one_step_are_refused(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("\n".join([event(4, loss=1.5), event(4, loss=1.25)]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"step=4: loss is logged twice, as 1\.5 and 1\.25"):
        events(tmp_path)
