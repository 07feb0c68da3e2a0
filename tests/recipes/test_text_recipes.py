"""The built-in recipes of texts, on reviews and BERTs of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import limbeck
from limbeck.errors import RecipeError
from limbeck.recipes.read import builtin_text, override, read_recipe
from limbeck.recipes.schema import resolve
from limbeck.training.loop import Job
from recipes.builtin import TEXTS, given
from recipes.runs import Run
from recipes.shell import Shell

Jobs = list[tuple[Job, dict[str, torch.Tensor]]]

FAST = ["measure.draws=100", "export.formats=[]", "train.batch_size=16", "train.learning_rate=5e-3"]
TEACHER = ["teacher.train.epochs=8", "teacher.train.batch_size=16", "teacher.train.learning_rate=5e-3"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def run(name: str, folder: Path, *settings: str) -> Run:
    overrides = [*given(folder), *FAST, *TEACHER, *settings]
    return Run(limbeck.run(name, overrides=overrides, output=folder / "run"))


@pytest.mark.parametrize("name", TEXTS)
def test_it_asks_for_a_file_and_a_teacher_and_resolves_to_itself(name: str, tmp_path: Path) -> None:
    _, raw = read_recipe(name)
    with pytest.raises(RecipeError, match=r"data: csv needs 'file'"):
        resolve(raw, name=name)
    with pytest.raises(RecipeError, match=r"models\.teacher: hugging_face needs 'folder'"):
        resolve(override(raw, ["data.file=a.csv"]), name=name)
    once = resolve(override(raw, given(tmp_path)), name=name)
    assert resolve(once, name=name) == once
    assert f"# limbeck run {name} --set data.file=" in builtin_text(name)


def test_check_takes_what_is_missing(shell: Shell, tmp_path: Path) -> None:
    assert "data: csv needs 'file'" in shell.refused("recipes", "check", "distilbert")
    settings = [part for item in [*given(tmp_path), "student.layers=1"] for part in ("--set", item)]
    code, out, err = shell("recipes", "check", "distilbert", *settings)
    assert (code, err) == (0, "")
    assert "file: " + str(tmp_path / "reviews.csv") in out


def terms(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run.taught("student")[-1]["terms"]
    return found


def test_distilbert(tmp_path: Path, jobs: Jobs) -> None:
    made = run("distilbert", tmp_path, "student.layers=1", "train.epochs=4")
    begun = {job.stage: weights for job, weights in jobs}
    # Of two layers the second.
    for name, value in begun["student"].items():
        assert torch.equal(value, made.weights("teacher")[name.replace("layer.0.", "layer.1.")])
    assert terms(made).keys() == {"hard", "soft", "cosine"}
    assert made.accuracy("student") > 0.8
