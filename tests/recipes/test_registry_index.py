"""The index of the registry is that of the code."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import limbeck
from limbeck import registry
from limbeck.recipes.registry_index import index_text
from limbeck.registry import Capabilities, Registry

SOURCES = sorted(Path(limbeck.__file__).parent.rglob("*.py"))


def test_the_index_is_that_of_the_code() -> None:
    assert json.loads(index_text()) == json.loads(registry.INDEX_FILE.read_text(encoding="utf-8")), "run: make index"


def test_the_index_holds_no_path_of_a_machine() -> None:
    text = registry.INDEX_FILE.read_text(encoding="utf-8")
    assert str(Path(limbeck.__file__).parent) not in text
    assert str(Path.home()) not in text
    assert " object at 0x" not in text


def test_every_registration_is_a_decorator_with_literals() -> None:
    """So that the module of an entry is the one that registers it."""
    registrations = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_register(node.func)]
        decorators = [call for node in ast.walk(tree) for call in getattr(node, "decorator_list", ()) if call in calls]
        assert len(calls) == len(decorators), path
        module = ".".join(("limbeck", *path.relative_to(SOURCES[0].parent).with_suffix("").parts))
        for call in decorators:
            kind, name = (ast.literal_eval(argument) for argument in call.args)
            stated = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
            other = Registry()
            other.register(kind, name, **stated)(SimpleNamespace(section=name))
            registrations.add((kind, name, module.removesuffix(".__init__"), other.capabilities(kind, name)))
    assert registrations == {
        (kind, name, entry["module"], (Capabilities.of_index(entry),))
        for kind, names in registry.read_index()["kinds"].items()
        for name, entries in names.items()
        for entry in entries
    }


def test_an_entry_has_the_signature_and_the_docstring_of_its_constructor() -> None:
    entry = registry.read_index()["kinds"]["loss"]["kl_divergence"][0]
    assert entry["summary"].startswith("Kullback-Leibler divergence")
    assert entry["inputs"]["teacher"]["reads"] == "teacher.logits"
    option = entry["options"]["standardize"]
    assert (option["type"], option["required"], option["default"]) == ("bool", False, False)
    assert option["meaning"]


def test_options_of_a_task_are_those_of_its_data_with_inherited_meanings() -> None:
    options = registry.read_index()["kinds"]["task"]["token_classification"][0]["options"]
    assert options["validation"]["default"] == 0.15
    assert "held out for model selection" in options["validation"]["meaning"]
    assert options["max_length"]["meaning"]


def _is_register(function: ast.expr) -> bool:
    return isinstance(function, ast.Name) and function.id == "register"
