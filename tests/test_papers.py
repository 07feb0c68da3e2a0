"""docs/papers.md against the constructors."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import limbeck.cache
import limbeck.core
import limbeck.losses  # noqa: F401  # registers the losses
from limbeck import data, functional, models, registry, teachers

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (Path(__file__).parents[1] / "docs" / "papers.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]


def entries_of(name: str) -> list[Any]:
    """What is registered under this name."""
    return [
        registry.lookup(kind, name)
        for kind in ("loss", "balance", "temperature", "teacher", "codec")
        if name in registry.names(kind)
    ]


NAMED = {re.findall(r"`([^`]*)`", row[0])[0]: row for row in ROWS}


@pytest.mark.parametrize("name", [name for name in NAMED if entries_of(name)])
def test_defaults_are_those_of_the_constructor(name: str) -> None:
    stated = dict(part.split("=", 1) for part in re.findall(r"`(\w+=[^`]*)`", NAMED[name][2]))
    (entry,) = entries_of(name)
    parameters = inspect.signature(entry).parameters.values()
    optional = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    assert {option: ast.literal_eval(value) for option, value in stated.items()} == optional


def test_every_row_is_about_something_and_names_a_paper() -> None:
    others = [name for name in NAMED if not entries_of(name)]
    rooms = (functional, teachers, models, data)
    assert all("an option of" in NAMED[name][0] or any(hasattr(room, name) for room in rooms) for name in others)
    assert all(len(row) == 4 and row[3] and ("](https://" in row[1] or row[1].startswith("none: ")) for row in ROWS)
