"""What a recipe may use, told from the constructors."""

from __future__ import annotations

import inspect

import pytest

from limbeck import registry
from limbeck.errors import ArgumentError
from limbeck.recipes.catalogue import describe, explain, listing
from limbeck.tasks import DataSettings
from limbeck.training.settings import Settings


def test_describe_has_the_defaults_of_the_constructors() -> None:
    described = describe()
    for name, section in (("train", Settings), ("data", DataSettings)):
        parameters = inspect.signature(section).parameters
        assert list(described["sections"][name]) == list(parameters)
        for option, parameter in parameters.items():
            if isinstance(parameter.default, int | float | str | None):
                assert described["sections"][name][option]["default"] == parameter.default


@pytest.mark.parametrize("kind", ["loss", "schedule", "temperature", "balance", "model", "source", "metric"])
def test_every_entry_has_a_line_and_an_explanation(kind: str) -> None:
    lines = listing().splitlines()
    for name in registry.names(kind):
        line = next(line for line in lines if line.split()[:1] == [name])
        assert len(line.split()) > 1, f"{name} has no first line of documentation"
        assert explain(name).partition("(")[0].split()[1] == name


def test_an_unknown_entry_is_met_with_the_nearest_of_all_kinds() -> None:
    with pytest.raises(ArgumentError, match="'resnet'"):
        explain("resnett")
