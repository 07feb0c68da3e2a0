from __future__ import annotations

import re
from typing import Any

from limbeck.report.animated_values import animated_values


def event(step: int, seed: int = 0, **groups: Any) -> dict[str, Any]:
    return {"stage": "student", "seed": seed, "step": step, "loss": 1.0, "terms": {"soft": 1.0}, **groups}


def rows(page: str) -> list[list[str]]:
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", page)[1:]
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line) for line in lines]


def test_quantities_that_change_are_listed_with_their_range() -> None:
    events = [
        event(10, weights={"soft": 0.5, "hard": 1.0}, temperatures={"soft": 8.0}),
        event(20, weights={"soft": 0.25, "hard": 1.0}, temperatures={"soft": 4.0}, gradient_norms={"soft": 0.125}),
        event(30, weights={"soft": 0.75, "hard": 1.0}, temperatures={"soft": 2.0}, gradient_norms={"soft": 0.375}),
    ]
    assert rows(animated_values(events)) == [
        ["student, seed 0", "weight of soft", "3", "0.500", "0.250", "0.750", "0.750"],
        ["student, seed 0", "temperature of soft", "3", "8.00", "2.00", "8.00", "2.00"],
        ["student, seed 0", "gradient norm of soft", "2", "0.125", "0.125", "0.375", "0.375"],
    ]


def test_constant_quantities_give_no_table() -> None:
    assert animated_values([event(10, weights={"soft": 0.5}), event(20, weights={"soft": 0.5})]) == ""
    assert animated_values([event(10), event(10, weights=5), event(20, weights={"soft": None})]) == ""


def test_names_are_escaped() -> None:
    page = animated_values([event(step, weights={"<b>": float(step)}) for step in (1, 2)])
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
