"""docs/papers.md against the constructors."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import limbeck.core
import limbeck.losses  # noqa: F401  # registers the losses
from limbeck import functional, registry

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (Path(__file__).parents[1] / "docs" / "papers.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]


def entry_of(name: str) -> object | None:
    """What a row is about: a registered loss or balance, or a function; None for an option of several losses."""
    for kind in ("loss", "balance", "schedule", "temperature", "teacher"):
        if name in registry.names(kind):
            return registry.lookup(kind, name)
    return getattr(functional, name, None)


OBJECTS = {name: row for row in ROWS if (name := re.findall(r"`([^`]*)`", row[0])[0]) and entry_of(name) is not None}


@pytest.mark.parametrize("name", OBJECTS)
def test_defaults_are_those_of_the_constructor(name: str) -> None:
    stated = dict(part.split("=", 1) for part in re.findall(r"`(\w+=[^`]*)`", OBJECTS[name][2]))
    parameters = inspect.signature(entry_of(name)).parameters.values()
    optional = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    assert {option: ast.literal_eval(value) for option, value in stated.items()} == optional
    assert bool(stated) != OBJECTS[name][2].startswith("none")


def test_every_row_is_about_something_and_names_a_paper() -> None:
    others = [row[0] for row in ROWS if row not in OBJECTS.values()]
    assert all("an option of" in what for what in others)
    assert all(len(row) == 4 and "](https://" in row[1] and row[3] for row in ROWS)
