"""`limbeck predict RUN -1.5,2`: a row that begins with a minus sign is no option."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck.cli.negative_rows import guarded, unguarded
from limbeck.export import export_onnx
from recipes.shell import Shell


class Sum(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.sum(1)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A finished run of numbers, as far as it is needed here."""
    folder = tmp_path / "run"
    (folder / "export").mkdir(parents=True)
    example, file = {"features": torch.zeros(1, 2)}, "export/student.onnx"
    export_onnx(Sum(), folder / file, example=example, outputs={"value": ("batch",)}, metadata={})
    delivery = {"predictor": "limbeck.export.predictors.rows:predict"}
    found = {"task": "regression", "delivery": delivery, "export": {"file": file}}
    (folder / "results.json").write_text(json.dumps(found), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("dashes", [[], ["--"]])
def test_rows_may_begin_with_a_negative_number(shell: Shell, run: str, dashes: list[str]) -> None:
    rows = ["1,2", "-1.5,2", "-.5,-1"]
    code, out, err = shell("predict", run, *dashes, *rows)
    assert code == 0, err
    assert out.splitlines() == ["value 3  1,2", "value 0.5  -1.5,2", "value -1.5  -.5,-1"]


def test_options_stay_options(shell: Shell, run: str) -> None:
    code, out, _ = shell("predict", run, "-1,2", "--json")
    assert (code, json.loads(out)) == (0, [{"value": 1.0}])
    assert "put -- before the inputs if '-x' is one of them" in shell.refused("predict", run, "-x,2")
    assert "put --" not in shell.refused("run", "digits", "--bogus")


def test_the_words_of_other_commands_stay_as_they_are() -> None:
    words = ["limbeck", "run", "digits", "-1"]
    assert guarded(words) == words
    assert unguarded(guarded(["limbeck", "predict", "run", "-1"])) == ["limbeck", "predict", "run", "-1"]
