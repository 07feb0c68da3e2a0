"""Descriptions of the entries that a recipe may use."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator

import pytest
from torch import Tensor, nn

import limbeck.functional
from limbeck import registry
from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.recipes.catalogue import as_json, describe, explain, listing
from limbeck.recipes.docstrings import read_docstring
from limbeck.recipes.model_sources import parse_model
from limbeck.recipes.read import parsed
from limbeck.recipes.registry_entries import find, registry_entries
from limbeck.tasks import ImageClassification, ImageSettings
from limbeck.training.settings import Settings

LOSSES = [name for name in registry.names("loss") if registry.lookup("loss", name).__module__.startswith("limbeck.")]
KNOWLEDGE = {
    "labels",
    "outputs",
    "features",
    "relations between layers",
    "relations between samples",
    "weights",
    "transformers",
}


def test_describe_has_the_defaults_of_the_constructors() -> None:
    described = describe()
    options = (described["sections"]["train"], described["task"]["image_classification"])
    for found, section in zip(options, (Settings, ImageSettings), strict=True):
        parameters = inspect.signature(section).parameters
        assert list(found) == list(parameters)
        for option, parameter in parameters.items():
            if isinstance(parameter.default, int | float | str | None):
                assert found[option]["default"] == parameter.default


@pytest.mark.parametrize("kind", registry.kinds())
def test_every_entry_has_a_line_and_an_explanation(kind: str) -> None:
    lines = listing().splitlines()
    for name in registry.names(kind):
        line = next(line for line in lines[lines.index(kind) :] if line.split()[:1] == [name])
        assert len(line.split()) > 1, f"{name} has no first line of documentation"
        assert explain(name).partition("(")[0].split()[1] == name


def test_an_unknown_entry_is_met_with_the_nearest_of_all_kinds() -> None:
    with pytest.raises(ArgumentError, match="'resnet'"):
        explain("resnett")


def test_losses_stand_under_the_knowledge_that_they_transfer() -> None:
    lines = listing().splitlines()
    headings = [line.strip() for line in lines if line.startswith("  on ")]
    first = ["on labels", "on outputs", "on features", "on relations between layers", "on relations between samples"]
    assert headings[:5] == first
    under = ""
    places = {}
    for line in lines[lines.index("loss") : lines.index("metric")]:
        under = line.strip() if line.startswith("  on ") else under
        places[line.split()[0]] = under
    assert [places[name] for name in ("cross_entropy", "dist", "hint_mse", "crd")] == [first[n] for n in (0, 1, 2, 4)]
    assert places.keys() >= set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_says_everything_of_itself(name: str) -> None:
    (entry,) = find(name)
    assert entry.knowledge in KNOWLEDGE, "its function's docstring needs a line Knowledge:"
    assert entry.explanation, "its function's docstring needs the equation"
    assert entry.cost, "its function's docstring needs a line Cost:"
    assert entry.returns
    assert entry.references
    unsaid = [name for name, told in {**entry.inputs, **entry.options}.items() if not told.meaning]
    assert not unsaid, "their docstrings need these under Args, or under Inputs where a module's are others"


@pytest.mark.parametrize("name", LOSSES)
def test_the_explanation_holds_the_equation_the_defaults_and_the_papers(name: str) -> None:
    text, entry = explain(name, width=72), registry.lookup("loss", name)
    flowed = " ".join(text.split())
    message = read_docstring(getattr(limbeck.functional, name))
    for part in (message.summary, *message.body, message.sections["Cost"], *message.references):
        assert " ".join(part.split()) in flowed
    assert max(map(len, text.splitlines())) <= 72
    assert not any(mark in text for mark in ("``", ".. math", ":math:", "`"))
    for option, parameter in inspect.signature(entry).parameters.items():
        given = parameter.default is not inspect.Parameter.empty
        default = f"default {json.dumps(parameter.default)}" if given else "no default"
        assert f" {option} {find(name)[0].options[option].type}, {default} " in flowed


@pytest.mark.parametrize("name", registry.names("teacher"))
def test_every_teacher_says_how_a_recipe_names_it(name: str) -> None:
    (entry,) = find(name)
    assert entry.recipe is not None
    assert entry.recipe in " ".join(explain(name).split())
    given = parsed(f"{{{entry.recipe}}}")
    for own, section in given.get("models", {}).items():
        options = parse_model(own, section, ImageClassification, False).options
        key = getattr(registry.lookup("teacher", name), "section", None)
        assert key is None or key in options


def test_inputs_are_those_that_a_term_binds() -> None:
    for name in LOSSES:
        if any(told.required and told.reads is None for told in find(name)[0].inputs.values()):
            continue
        term = Term(registry.lookup("loss", name)())
        assert term.inputs == {key: told.reads for key, told in find(name)[0].inputs.items() if told.reads}, name


def test_json_holds_all_of_all_entries() -> None:
    found = as_json()["methods"]
    listed = [(one["kind"], one["name"]) for one in found]
    assert listed == [(entry.kind, entry.name) for entry in registry_entries()]
    assert set(listed) == {(kind, name) for kind in registry.kinds() for name in registry.names(kind)}
    (one,) = as_json("kl_divergence")["methods"]
    assert one in found
    assert one["options"]["temperature"]["default"] == 1.0
    assert one["inputs"]["teacher"]["reads"] == "teacher.logits"
    assert one["objects"] == ("limbeck.losses.KLDivergence", "limbeck.functional.kl_divergence")


@pytest.fixture
def undocumented() -> Iterator[str]:
    class Mine(nn.Module):
        def __init__(self, gain: float = 2.0, *, power: int) -> None:
            super().__init__()

        def forward(self, student: Tensor, attention: Tensor, rest: Tensor | None = None) -> Tensor:
            raise AssertionError

    with registry.temporary():
        registry.register("loss", "mine_without_words")(Mine)
        yield "mine_without_words"


def test_a_loss_without_a_docstring_is_told_by_its_signatures(undocumented: str) -> None:
    assert explain(undocumented).splitlines() == [
        "loss mine_without_words",
        "",
        "Inputs",
        "  student  reads student.logits",
        "  attention  no default address",
        "  rest  may be left out",
        "",
        "Options",
        "  gain  float, default 2.0",
        "  power  int, no default",
        "",
        "In Python",
        f"  {__name__}.undocumented.<locals>.Mine",
    ]
    lines = listing().splitlines()
    assert lines[lines.index("metric") - 2 :][:2] == ["  on something else", "    mine_without_words"]
