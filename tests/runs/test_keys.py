"""Keys of stages: equal where nothing that a stage reads has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from limbeck.data import Digits
from limbeck.runs.keys import data_key, stage_key
from limbeck.tasks import ImageClassification, ImageSettings
from recipes.small import parse


def key_of_data(settings: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    task = ImageClassification(Digits().load(), ImageSettings(**settings))
    return data_key(task, task.student_rows, parse({"train": train}).train)


def test_a_key_is_a_function_of_the_content_alone() -> None:
    assert stage_key(a=1, b={"x": 1, "y": 2}) == stage_key(b={"y": 2, "x": 1}, a=1)
    assert stage_key(a=1) != stage_key(a=2)
    assert stage_key(a=1) != stage_key(b=1)
    assert len(stage_key(a=1)) == 64


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({}, True),
        ({"workers": 2}, True),
        ({"labels": 100}, False),
        ({"limit": 500}, False),
        ({"split_seed": 1}, False),
        ({"validation": 0.2}, False),
        ({"augment": {"crop": 1}}, False),
        ({"labelled_share": 0.5}, False),
    ],
)
def test_what_the_data_decides(settings: dict[str, Any], same: bool) -> None:
    assert (key_of_data(settings, {}) == key_of_data({}, {})) == same


def test_validation_rows_count_where_they_decide_something() -> None:
    assert key_of_data({}, {})["validation"] is None
    assert (
        key_of_data({}, {"select": "best"})["validation"] == key_of_data({}, {"patience": 2})["validation"] is not None
    )


@pytest.mark.parametrize("option", ["log_every", "checkpoint_every", "keep_checkpoints"])
def test_what_is_only_written_changes_no_key(option: str) -> None:
    train = parse().train
    assert train.key == replace(train, **{option: 99}).key
    assert train.key != replace(train, learning_rate=99).key


def test_how_a_model_is_trained_or_tapped_does_not_decide_its_initial_weights() -> None:
    spec = parse().models["teacher"]
    assert spec.weights_key == replace(spec.with_io(taps={"a": "b"}), learning=None).weights_key
    assert spec.weights_key != replace(spec, options={**spec.options, "width": 9}).weights_key
