"""A teacher of a plugin says how a recipe names it and which models it reads; a misspelt key gets a suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from limbeck import registry
from limbeck.api import check
from limbeck.errors import ArgumentError, RecipeError
from recipes.small import changed, parse
from refusals import refused

PLUGIN = (Path(__file__).parents[1] / "contract" / "plugins" / "teacher.py").read_text(encoding="utf-8")
SECTION = '    section = "scaled"\n'
NEEDS = re.search(r"    @classmethod\n.*?\n\n", PLUGIN, re.DOTALL)


@pytest.fixture(autouse=True)
def no_plugin_stays() -> Iterator[None]:
    with registry.temporary():
        yield


def without(folder: Path, part: str) -> Path:
    assert part in PLUGIN
    file = folder / "part_of_teacher.py"
    file.write_text(PLUGIN.replace(part, ""), encoding="utf-8")
    return file


def test_a_teacher_without_a_section_is_refused_when_it_is_registered(tmp_path: Path) -> None:
    with refused(ArgumentError, "missing", "section", match="add section = 'mine' .* needs"):

        @registry.register("teacher", "mine")
        class Mine:
            reads = ()

    file = without(tmp_path, SECTION)
    with refused(RecipeError, "missing", file, match="add section = 'scaled'"):
        check(changed({"models.double": {"scaled": "teacher"}}), plugin=file)


def test_a_teacher_that_does_not_name_what_it_reads_is_refused(tmp_path: Path) -> None:
    assert NEEDS is not None
    soft = {"loss": "kl_divergence", "inputs": {"teacher": "double.logits"}}
    recipe = changed({"models.double": {"scaled": "teacher"}, "objective.soft": soft})
    with refused(RecipeError, "missing", "models.double", match=r"needs\(options\) .* as \(options\['scaled'\],\)"):
        check(recipe, plugin=without(tmp_path, NEEDS.group()))


@pytest.mark.parametrize(
    ("section", "meant"),
    [
        ({"ensembel": ["teacher"]}, "ensemble"),
        ({"emma": "student"}, "ema"),
        ({"radnom": ["teacher"], "seed": 1}, "random"),
        ({"usee": "mlp", "width": 8}, "use"),
    ],
)
def test_a_misspelt_key_is_met_with_the_nearest(section: dict[str, Any], meant: str) -> None:
    with refused(RecipeError, "missing", "models.odd", match=rf"Did you mean '{meant}'\?$"):
        parse({"models.odd": section})


@pytest.mark.parametrize("key", ["ema", "ensemble", "peers", "shrink"])
def test_a_key_is_no_name_of_a_model(key: str) -> None:
    with refused(RecipeError, "unknown_name", "models.odd", match=rf"write {{{key}: …}} in place of use$"):
        parse({"models.odd": {"use": key}})
