from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.export import Session, export_onnx
from limbeck.export.predictors.rows import predict

COLUMNS = ("age", "mass", "height")


class Sums(nn.Module):
    """The sum of each row, both ends of it, the index of the greatest number, and logits of two classes."""

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        total = features.sum(1)
        return {
            "total": total,
            "ends": torch.stack([features[:, 0], features[:, -1]], 1),
            "greatest": features.argmax(1),
            "logits": torch.stack([total, -total], 1),
        }


@pytest.fixture
def session(tmp_path: Path) -> Callable[..., Session]:
    def opened(outputs: tuple[str, ...], more: dict[str, str] | None = None, **options: Any) -> Session:
        path = tmp_path / "model.onnx"
        export_onnx(
            Sums(),
            path,
            example={"features": torch.rand(2, 3)},
            outputs=dict.fromkeys(outputs, ("batch",)),
            metadata=more or {},
            **options,
        )
        return Session(path)

    return opened


def test_a_value_of_each_output(session: Callable[..., Session], tmp_path: Path) -> None:
    named = session(("total", "ends", "greatest"), names={"ends": ("first", "last")})
    found = predict(["1, 2.5,3", "-1e1,0,4"], [], tmp_path, named)
    assert [one.found for one in found] == [
        {"total": 6.5, "ends": {"first": 1.0, "last": 3.0}, "greatest": 2},
        {"total": -6.0, "ends": {"first": -10.0, "last": 4.0}, "greatest": 2},
    ]
    assert found[0].line == "total 6.5, ends first 1, last 3, greatest 2"
    (bare,) = predict(["1,2,3"], [], tmp_path, session(("ends",)))
    assert (bare.found, bare.line) == ({"ends": [1.0, 3.0]}, "ends [1, 3]")


def test_columns_go_by_name(session: Callable[..., Session], tmp_path: Path) -> None:
    named = session(("ends",), names={"features": COLUMNS})
    row = json.dumps({"height": 3, "age": 1, "mass": 2})
    assert predict([row], [], tmp_path, named)[0].found == predict(["1,2,3"], [], tmp_path, named)[0].found
    for wrong, message in [
        ({"age": 1, "mass": 2}, "missing column 'height'"),
        ({"age": 1, "mass": 2, "height": 3, "width": 4}, "unknown column 'width'"),
    ]:
        with pytest.raises(ArgumentError, match=f"{message}.*or a JSON object with the columns age, mass, height"):
            predict([json.dumps(wrong)], [], tmp_path, named)


def test_unknown_numbers_are_nan(session: Callable[..., Session], tmp_path: Path) -> None:
    named = session(("ends",), names={"features": COLUMNS, "ends": ("first", "last")})
    for row in (",2,3", json.dumps({"age": None, "mass": 2, "height": 3})):
        found = predict([row], [], tmp_path, named)[0].found["ends"]
        assert found["first"] != found["first"]
        assert found["last"] == 3


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ("single_label_classification", {"class": "high", "probabilities": {"high": 1 / (1 + math.exp(-6))}}),
        ("multi_label_classification", {"classes": ["high"], "probabilities": {"high": 1 / (1 + math.exp(-3))}}),
        ("", {"logits": {"high": 3.0}}),
    ],
)
def test_what_outputs_mean_is_what_the_file_says(
    session: Callable[..., Session], tmp_path: Path, problem: str, expected: dict[str, Any]
) -> None:
    """Their name does not: a task may call other numbers logits."""
    file = session(("logits",), {"problem_type": problem} if problem else {}, names={"logits": ("high", "low")})
    (found,) = predict(["1,1,1"], [], tmp_path, file)
    for key, value in expected.items():
        if isinstance(value, dict):
            assert found.found[key]["high"] == pytest.approx(value["high"], abs=1e-6)
        else:
            assert found.found[key] == value


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1,2,3", "1,2"], "row 2 has 2 numbers; expected 3"),
        (["1,two,3"], "row 1 is '1,two,3' .* expected numbers such as 0.5,1,3$"),
        (["{age: 1}"], "row 1 is '{age: 1}'"),
    ],
)
def test_rows_that_are_none_are_told(
    session: Callable[..., Session], tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        predict(rows, [], tmp_path, session(("total",)))


def test_pairs_and_other_inputs_are_refused(session: Callable[..., Session], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no second text"):
        predict(["1,2,3"], ["x"], tmp_path, session(("total",)))
    export_onnx(nn.Flatten(), tmp_path / "f.onnx", example=torch.rand(1, 1, 2), outputs={"a": ("batch",)}, metadata={})
    with pytest.raises(ArgumentError, match=r"takes input float32 \[batch, 1, 2\]; rows of numbers go into one input"):
        predict(["1,2"], [], tmp_path, Session(tmp_path / "f.onnx"))


CATEGORIES = {"mass": ["heavy, very", "light"], "height": ["1", "10", "2"]}


def test_categories_go_by_name_or_code(session: Callable[..., Session], tmp_path: Path) -> None:
    named = session(("total",), names={"features": COLUMNS}, more={"categories": json.dumps(CATEGORIES)})
    codes = {
        "100,light,10": (2, 2),
        '100,"heavy, very",2': (1, 3),
        "100,,": (0, 0),
        # A name comes first: 2 is the third category of height, and there the code 3 is the same.
        "100,2,2": (2, 3),
        "100,1,3": (1, 3),
        json.dumps({"age": 100, "mass": "light", "height": 10}): (2, 2),
        json.dumps({"age": 100, "mass": None, "height": 2.0}): (0, 3),
    }
    found = predict(list(codes), [], tmp_path, named)
    assert [one.found["total"] for one in found] == [100 + mass + height for mass, height in codes.values()]


def test_a_category_that_is_none_is_refused(session: Callable[..., Session], tmp_path: Path) -> None:
    named = session(("total",), names={"features": COLUMNS}, more={"categories": json.dumps(CATEGORIES)})
    with pytest.raises(ArgumentError, match=r"row 2 is '1,lihgt,1' \(the column 'mass' has no category 'lihgt'.*light"):
        predict(["1,light,1", "1,lihgt,1"], [], tmp_path, named)
    for wrong in ("1,3,1", "1,1.5,1", "1,-1,1"):
        with pytest.raises(ArgumentError, match="the column 'mass' has no category"):
            predict([wrong], [], tmp_path, named)
