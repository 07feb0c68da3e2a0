"""Recipes from files, and values set on the command line."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import yaml

from limbeck.errors import RecipeError
from limbeck.recipes.read import builtin_names, builtin_text, override, read_recipe, recipe_text
from recipes.shell import Shell
from recipes.small import SMALL

FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "holds a NoneType"),
    "only a comment": (b"# nothing\n", "holds a NoneType"),
    "list": (b"- a\n- b\n", "holds a list"),
    "text": (b"hello\n", "holds a str"),
    "number": (b"5\n", "holds a int"),
    "binary": (bytes(range(256)), "cannot be read"),
    "control characters": (b"a: \x00\x01\n", "is no YAML"),
    "no YAML": (b"schema: [1\n", "is no YAML"),
    "tabs": (b"schema:\n\t- 1\n", "is no YAML"),
    "key twice": (b"schema: 1\nseeds: 2\nseeds: 3\n", "'seeds' stands twice"),
    "key twice below": (b"schema: 1\ntrain: {epochs: 1, epochs: 2}\n", "'epochs' stands twice"),
    "unhashable key": (b"[1, 2]: 3\n? {a: 1}\n: 4\n", "is no YAML"),
    "python object": (b"schema: !!python/object/apply:os.system ['true']\n", "is no YAML"),
    "alias to itself": (
        b"schema: 1\ntask: image_classification\ndata: digits\nobjective: &a {hard: {loss: *a}}\n",
        "data is",
    ),
    "options that hold themselves": (
        yaml.safe_dump(SMALL).encode() + b"  optimizer_options: &a {x: *a}\n",
        "holds itself",
    ),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_recipe_is_one_line(shell: Shell, content: bytes, message: str) -> None:
    (shell.folder / "wrong.yaml").write_bytes(content)
    assert message in shell.refused("run", "wrong.yaml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.yaml", "no recipe file nothing.yaml"),
        ("folder/nothing", "no recipe file folder/nothing"),
        ("digts", "Did you mean 'digits'?"),
        ("", "no recipe ''"),
        ("x" * 300 + ".yaml", "too long"),
    ],
)
def test_a_recipe_that_is_not_there_is_one_line(shell: Shell, name: str, message: str) -> None:
    assert message in shell.refused("run", name)


def test_a_folder_is_no_recipe(shell: Shell) -> None:
    (shell.folder / "folder.yaml").mkdir()
    assert "no recipe file folder.yaml" in shell.refused("run", "folder.yaml")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("train.epochs", "train.epochs=5"),
        ("=5", "train.epochs=5"),
        ("train..epochs=5", "train.epochs=5"),
        (".=5", "train.epochs=5"),
        ("train.epochs=", "train.epochs"),
        ("train.epochs=[1", "no YAML value"),
        ("train.epochs=many", "train.epochs"),
        ("train.epochs.more=5", "not a section"),
        ("trian.epochs=5", "'train'"),
        ("train.epoch=5", "'epochs'"),
        ("objective.hard.weight.value=5", "not a section"),
        ("models.student={use: mlp, use: resnet}", "no YAML value"),
    ],
)
def test_a_wrong_set_is_one_line(shell: Shell, item: str, message: str) -> None:
    assert message in shell.refused("run", "digits", "--set", "train.epochs=1", "--set", item)


def test_set_goes_through_short_forms_and_empty_sections() -> None:
    recipe = {"objective": {"hard": {"loss": "cross_entropy"}}, "data": {"augment": None}, "train": None}
    kept = copy.deepcopy(recipe)
    items = ["objective.hard.loss.label_smoothing=0.1", "data.augment.crop=1", "train.epochs=3", "export.formats=[]"]
    assert override(recipe, items) == {
        "objective": {"hard": {"loss": {"use": "cross_entropy", "label_smoothing": 0.1}}},
        "data": {"augment": {"crop": 1}},
        "train": {"epochs": 3},
        "export": {"formats": []},
    }
    assert recipe == kept


def test_the_later_set_wins_and_a_value_may_hold_an_equals_sign() -> None:
    assert override({}, ["a.b=1", "a.b=x=y"]) == {"a": {"b": "x=y"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [("2e-3", 0.002), ("1E5", 1e5), ("-.5e1", -5.0), ("1.0e-3", 0.001), ("1e", "1e"), ("e5", "e5"), ("0x1e3", 0x1E3)],
)
def test_numbers_with_an_exponent_are_numbers(text: str, value: Any) -> None:
    read = override({}, [f"a={text}"])["a"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (word, word)
            for word in ("on", "off", "yes", "no", "On", "NO", "y", "1:30", "2026-01-31", "0o", "0x_", "0b_", "1_000e")
        ),
        *((word, word[0] in "tT") for word in ("true", "True", "FALSE", "false")),
        *(("010", 10), ("1_000", 1000), ("-08", -8), ("0o17", 15), ("0b11", 3), ("+5", 5), ("1_0.5", 10.5)),
        *((".5", 0.5), ("3.", 3.0), ("-.inf", -math.inf), ("~", None), ("null", None)),
    ],
)
def test_plain_words_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read = override({}, [f"a={text}"])["a"]
    assert (read, type(read)) == (value, type(value))


def test_a_key_named_on_is_a_text(shell: Shell) -> None:
    (shell.folder / "r.yaml").write_text("models: {teacher: {on: maps, off: 1, y: yes}}\n", encoding="utf-8")
    assert read_recipe("r.yaml")[1] == {"models": {"teacher": {"on": "maps", "off": 1, "y": "yes"}}}


WRITTEN = ["2e-3", "1e5", "on", "No", "08", "0o17", "1:30", "1_000", "2026-01-31", {"on": "off", True: 1}]


@pytest.mark.parametrize("value", [*WRITTEN, "x", 2e-3, 1e-300, None, True, [1, "1e3"], {"a": "1e3"}])
def test_what_is_written_is_read_as_the_same(shell: Shell, value: Any) -> None:
    (shell.folder / "r.yaml").write_text(recipe_text({"value": value}), encoding="utf-8")
    assert read_recipe("r.yaml") == ("r", {"value": value})
    assert yaml.safe_load(recipe_text({"value": value})) == {"value": value}


def test_a_merged_key_may_be_overridden(shell: Shell) -> None:
    text = "base: &base {epochs: 1, seed: 2}\nmore:\n  <<: *base\n  epochs: 5\n"
    (shell.folder / "merged.yaml").write_text(text, encoding="utf-8")
    assert read_recipe("merged.yaml")[1]["more"] == {"epochs": 5, "seed": 2}


def test_the_name_is_the_files_unless_the_recipe_has_one(shell: Shell) -> None:
    assert read_recipe(shell.write(SMALL, "mine.yaml"))[0] == "mine"
    assert read_recipe(shell.write({**SMALL, "name": "other"}, "mine.yaml"))[0] == "other"
    assert read_recipe(SMALL)[0] == "recipe"


def test_a_mapping_stays_as_it_was() -> None:
    kept = copy.deepcopy(SMALL)
    _, content = read_recipe(SMALL)
    content["train"]["epochs"] = 99
    assert kept == SMALL


def test_built_in_recipes_have_texts() -> None:
    assert {"digits", "digits-full"} <= set(builtin_names())
    for name in builtin_names():
        # YAML 1.1, which PyYAML reads, takes the word on for true.
        assert read_recipe(name)[1] == yaml.safe_load(builtin_text(name).replace("on: maps", "'on': maps"))
    with pytest.raises(RecipeError, match="'digits'"):
        builtin_text("digit")
