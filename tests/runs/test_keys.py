"""Keys of stages: equal where nothing that a stage reads has changed."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.data import Digits
from limbeck.recipes.schema import resolve
from limbeck.runs.keys import data_key, initial_key, settings_key, stage_key
from limbeck.tasks import ImageClassification, ImageSettings
from recipes.small import changed


def key_of_data(settings: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    task = ImageClassification(Digits().load(), ImageSettings(**settings))
    resolved = resolve(changed({"train": train}), name="x")
    return data_key(task, task.student_rows, resolved["train"])


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
    train = resolve(changed({}), name="x")["train"]
    assert settings_key(train) == settings_key({**train, option: 99})
    assert settings_key(train) != settings_key({**train, "learning_rate": 99})


def test_how_a_model_is_trained_or_tapped_does_not_decide_its_initial_weights() -> None:
    spec = resolve(changed({}), name="x")["models"]["teacher"]
    assert initial_key(spec) == initial_key({**spec, "taps": {"a": "b"}, "train": None})
    assert initial_key(spec) != initial_key({**spec, "width": 9})
