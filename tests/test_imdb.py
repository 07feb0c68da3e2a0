"""The benchmark on IMDB: its recipes are recipes, its rows stand apart, its table says what the runs say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import imdb
import pytest
from imdb_methods import PARTS, recipe
from imdb_table import table
from reviews import Review

from limbeck.recipes.read import read_recipe
from recipes.small import resolve


def results(student: float = 0.83, low: float = 0.01, size: int = 3_000_000) -> dict[str, Any]:
    accuracies = {"teacher": 0.85, "control": 0.8, "student": student, "int8": 0.82}
    cost = {"parameters": size, "bytes": 4_200_000}
    models = {name: {"metrics": {"accuracy": {"value": value}}, "cost": cost} for name, value in accuracies.items()}
    models["teacher"]["cost"] = {"parameters": 22_700_000, "bytes": 90_000_000}
    gain = {"a": "student", "b": "control", "metric": "accuracy", "difference": 0.03, "low": low, "high": 0.05}
    return {"models": models, "comparisons": [{**gain, "b": "teacher"}, gain], "test_rows": 5_000, "seeds": [0]}


@pytest.mark.parametrize("name", PARTS)
def test_each_part_is_a_recipe(name: str, tmp_path: Path) -> None:
    written = resolve(recipe(PARTS[name], tmp_path, tmp_path), name=name)
    assert written["data"]["max_length"] == 128
    assert written["seeds"] == (3 if name in ("plain", "bilstm") else 1)


def test_all_parts_say_the_same_teacher_and_rows(tmp_path: Path) -> None:
    written = [recipe(part, tmp_path, tmp_path) for part in PARTS.values()]
    for one in written:
        one["models"]["teacher"].pop("taps", None)
    assert all((one["data"], one["models"]["teacher"]) == _shared(written[0]) for one in written)


def _shared(one: dict[str, Any]) -> tuple[Any, Any]:
    return one["data"], one["models"]["teacher"]


def test_rows_of_the_files_stand_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imdb, "LABELLED", 5)
    monkeypatch.setattr(imdb, "UNLABELLED", 4)
    monkeypatch.setattr(imdb, "TEST", 3)
    train, test = ([Review(f"{side} {n}", n % 2) for n in range(12)] for side in ("train", "test"))
    monkeypatch.setattr(imdb, "imdb_train", lambda folder: list(train))
    monkeypatch.setattr(imdb, "imdb_test", lambda folder: list(test))
    imdb.prepare(tmp_path, tmp_path)
    found = {
        name: [
            tuple(json.loads(line).values())
            for line in (tmp_path / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for name in ("labelled", "unlabelled", "test")
    }
    assert {name: len(rows) for name, rows in found.items()} == {"labelled": 5, "unlabelled": 4, "test": 3}
    assert set(found["labelled"]) | set(found["unlabelled"]) <= set(train)
    assert not set(found["labelled"]) & set(found["unlabelled"])
    assert set(found["test"]) <= set(test)


def test_the_table_says_what_the_runs_say() -> None:
    lines = table({"bilstm": results()}).splitlines()
    assert lines[2] == "| teacher | 6 layers | 1 | 22.70M | 85.0 |  |  |  |  |  |  |"
    row = "| `bilstm` | BiLSTM | 1 | 3.00M | 83.0 | 97.6 | 80.0 | +3.0 (+1.0 to +5.0) | one seed | 82.0 | 4.2 |"
    assert lines[3] == row
    several = table({"bilstm": {**results(), "seeds": [0, 1, 2]}}).splitlines()
    assert several[3] == row.replace("| 1 |", "| 3 |").replace("one seed", "helped")


def test_bounds_fail_where_they_should() -> None:
    assert all(imdb.bounds(results(), results()).values())
    assert [*imdb.bounds(results(0.82, low=-0.01), results(low=-0.01, size=3_100_000)).values()] == [True, *[False] * 4]


def test_the_page_has_rows_of_parts_as_the_script_writes_them() -> None:
    page = imdb.PAGE.read_text(encoding="utf-8")
    made = page.partition("<!-- table -->")[2].partition("<!-- end of table -->")[0]
    names = re.findall(r"^\| `([a-z_]+)` \|", made, re.MULTILINE)
    assert names == [name for name in PARTS if name in names]
    assert {"plain", "bilstm"} <= set(names)
    assert made.strip().startswith(table({"plain": results()}).splitlines()[0])
    for line in re.findall(r"^\| `.*$", made, re.MULTILINE):
        student, control, gain = (float(cell.split()[0]) for cell in (line.split(" | ")[n] for n in (4, 6, 7)))
        assert gain == pytest.approx(student - control, abs=0.11)


def test_a_part_is_run_once_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def note(command: list[str], **_: Any) -> None:
        asked.append(command[2:])
        (tmp_path / "plain").mkdir(exist_ok=True)
        (tmp_path / "plain" / ("recipe.yaml" if len(asked) == 1 else "results.json")).write_text("{}")

    monkeypatch.setattr(imdb.subprocess, "run", note)
    for _ in range(3):
        imdb.run(PARTS["plain"], tmp_path, tmp_path)
    output = str(tmp_path / "plain")
    assert asked == [
        ["limbeck", "run", str(tmp_path / "plain.yaml"), "--output", output],
        ["limbeck", "resume", output],
    ]
    assert read_recipe(tmp_path / "plain.yaml") == ("plain", recipe(PARTS["plain"], tmp_path / "data", tmp_path))
