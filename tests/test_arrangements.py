"""The page on arrangements: it has a row for every recipe of its script, as the script writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import arrangements
import pytest

from limbeck.errors import ArgumentError
from limbeck.recipes.read import builtin_names
from recipes.small import changed

ROOT = Path(__file__).parent.parent


def results(difference: float = 0.05, low: float = 0.01, **changes: Any) -> dict[str, Any]:
    accuracy = {"teacher": 0.98, "control": 0.9, "student": 0.95, "peer": 0.5, "exported": 0.95}
    gain = {"a": "student", "b": "control", "metric": "accuracy", "difference": difference, "low": low, "high": 0.09}
    return {
        "models": {name: {"metrics": {"accuracy": {"value": value}}} for name, value in accuracy.items()},
        "teachers": ["teacher"],
        "comparisons": [{**gain, "b": "teacher"}, gain],
        "test_rows": 359,
        "seeds": [0, 1, 2],
        **changes,
    }


def test_a_row_says_what_the_run_says() -> None:
    assert arrangements.row("digits", results()) == (
        "| `digits` | `teacher` 98.0 | 90.0 | 95.0 | `peer` 50.0 | +5.0 (+1.0 to +9.0) | helped | 359 |"
    )
    alone = arrangements.row("mutual", results(low=-0.01, teachers=[]))
    assert "| none | 90.0 | 95.0 |" in alone
    assert "+5.0 (-1.0 to +9.0) | no difference that this run can show |" in alone
    assert "| hurt |" in arrangements.row("x", results(-0.05, -0.09, comparisons=[]) | {"comparisons": [_worse()]})


def _worse() -> dict[str, Any]:
    return {"a": "student", "b": "control", "metric": "accuracy", "difference": -0.05, "low": -0.09, "high": -0.01}


def test_the_page_has_a_row_for_every_recipe() -> None:
    assert set(arrangements.RECIPES) <= set(builtin_names())
    page = arrangements.PAGE.read_text(encoding="utf-8")
    table = page.partition("<!-- table -->")[2].partition("<!-- end of table -->")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE) == list(arrangements.RECIPES)
    head = arrangements.table({"digits": results()}).splitlines()[0]
    assert table.strip().startswith(head)
    for line in re.findall(r"^\| `.*$", table, re.MULTILINE):
        control, student, gain = (float(cell.split()[0]) for cell in (line.split(" | ")[n] for n in (2, 3, 5)))
        assert gain == pytest.approx(student - control, abs=0.11)
        low, high = map(float, re.findall(r"\(([+-][\d.]+) to ([+-][\d.]+)\)", line)[0])
        effect = "helped" if low > 0 else "hurt" if high < 0 else "no difference that this run can show"
        assert f"| {effect} |" in line


def test_the_table_takes_its_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(arrangements.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    arrangements.write_section(page, "table", "one")
    arrangements.write_section(page, "table", "two")
    written = page.read_text(encoding="utf-8")
    assert "<!-- table -->\ntwo\n<!-- end of table -->" in written
    assert "\none\n" not in written
    page.write_text("<!-- table -->")
    with pytest.raises(ArgumentError, match="no part between '<!-- table -->'"):
        arrangements.write_section(page, "table", "")


def test_recipes_of_other_numbers_of_seeds_make_no_table() -> None:
    with pytest.raises(ArgumentError, match=r"the recipes have \[2, 3\] seeds"):
        arrangements.table({"a": results(), "b": results(seeds=[0, 1])})


def test_a_small_run_goes_through_and_is_not_run_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"models.student.use": "mlp", "seeds": 2, "train.epochs": 1}
    run = arrangements.limbeck.run
    monkeypatch.setattr(arrangements.limbeck, "run", lambda recipe, output: run(changed(small), output=output))
    found = arrangements.measured("digits", tmp_path)
    monkeypatch.setattr(arrangements.limbeck, "run", lambda *_, **__: pytest.fail("it is run again"))
    assert arrangements.measured("digits", tmp_path) == found
    assert arrangements.table({"digits": found}).count("`teacher`") == 1
