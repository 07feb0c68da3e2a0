"""The built-in recipes of plain texts, and a task that goes on from one, on BERTs of a second."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import limbeck
from limbeck.errors import RecipeError
from limbeck.recipes.read import builtin_text, override, read_recipe
from limbeck.training.loop import Job
from recipes.builtin import PLAIN, copies, given
from recipes.shell import Shell
from recipes.small import resolve
from runs.finished import Run
from tasks.small_texts import bert

Jobs = list[tuple[Job, dict[str, torch.Tensor]]]

FAST = [
    "train.log_every=1",
    "train.batch_size=16",
    "train.learning_rate=5e-3",
    "measure.draws=100",
    "measure.seconds=0.01",
]
NARROW = ["student.layers=1", "student.width=16", "student.neurons=32"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def run(name: str, folder: Path, *settings: str) -> Run:
    overrides = [*given(folder, name), *FAST, *settings]
    return Run(limbeck.run(name, overrides=overrides, output=folder / "run"))


def losses(made: Run, term: str, stage: str = "student") -> tuple[float, float]:
    """Of the first step and of the last."""
    taught = made.taught(stage)
    return taught[0]["terms"][term], taught[-1]["terms"][term]


@pytest.mark.parametrize("name", PLAIN)
def test_it_asks_for_a_file_and_a_teacher_and_resolves_to_itself(name: str, tmp_path: Path) -> None:
    _, raw = read_recipe(name)
    with pytest.raises(RecipeError, match=r"data: txt needs 'file'"):
        resolve(raw, name=name)
    made = given(tmp_path, name)
    with pytest.raises(RecipeError, match=r"models\.teacher: hugging_face needs 'folder'"):
        resolve(override(raw, made[:-1]), name=name)
    once = resolve(override(raw, made), name=name)
    assert resolve(once, name=name) == once
    assert once["export"]["formats"] == []
    assert f"# limbeck run {name} --set data.file=" in builtin_text(name)


def test_check_takes_what_is_missing(shell: Shell, tmp_path: Path) -> None:
    settings = [part for item in [*given(tmp_path, "minilm-general"), *NARROW] for part in ("--set", item)]
    code, out, err = shell("recipes", "check", "minilm-general", *settings)
    assert (code, err) == (0, "")
    # Of the models, which have two heads.
    assert "relation_heads: 2" in out
    assert "student_heads: 2" in out


def test_distilbert_general(tmp_path: Path, jobs: Jobs) -> None:
    train = ["teacher.train.epochs=8", "teacher.train.learning_rate=5e-3", "teacher.train.batch_size=16"]
    made = run("distilbert-general", tmp_path, "student.layers=1", "train.epochs=3", *train)
    begun = {job.stage: weights for job, weights in jobs}
    # Of two layers the second, and the head for words with it.
    for name, value in begun["student"].items():
        assert torch.equal(value, made.weights("teacher").get(name.replace("layer.0.", "layer.1."), value))
    assert "cls.predictions.transform.dense.weight" in begun["student"]
    assert made.taught("student")[-1]["terms"].keys() == {"words", "soft", "cosine"}
    assert made.taught("control")[-1]["terms"].keys() == {"words"}
    first, last = losses(made, "soft")
    assert last < first
    models = made.results["models"]
    entropy = {name: model["metrics"]["masked_cross_entropy"]["value"] for name, model in models.items()}
    # Less than if all 17 words were as likely.
    assert entropy["student"] < math.log(17)
    assert "accuracy on masked tokens" in made.results["verdict"]


def test_minilm_general(tmp_path: Path) -> None:
    # It asks for no word, so that an encoder without a head for them will do.
    encoder = f"teacher.folder={bert(tmp_path / 'encoder', classes=None)}"
    made = run("minilm-general", tmp_path, *NARROW, "train.epochs=3", encoder)
    assert list(made.results["models"]) == ["teacher", "student"]
    for term in ("attention", "values"):
        first, last = losses(made, term)
        assert last < first


def test_tinybert_from_plain_text_to_a_task(tmp_path: Path, jobs: Jobs) -> None:
    """General distillation, then layers, then predictions, on copies in other words."""
    general = run("tinybert-general", tmp_path, *NARROW, "train.epochs=3")
    assert [job.stage for job, _ in jobs] == ["student"]
    for term in ("states", "attention"):
        first, last = losses(general, term)
        assert last < first
    folder = general.path / "models" / "student"
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"] == 16

    settings: list[Any] = [*given(tmp_path), *copies(tmp_path), f"models.layers.folder={folder}", *FAST]
    settings += [
        f"{model}.train.{key}" for model in ("teacher", "models.layers") for key in ("epochs=2", "batch_size=16")
    ]
    settings += [f"{model}.train.learning_rate=5e-3" for model in ("teacher", "models.layers")]
    made = Run(
        limbeck.run("tinybert", overrides=[*settings, "train.epochs=2", "export.formats=[]"], output=tmp_path / "task")
    )
    begun = {job.stage: weights for job, weights in jobs[1:]}
    assert list(begun) == ["teacher", "teacher_layers", "control", "student"]
    learned, encoder = load_file(folder / "model.safetensors"), "bert."
    taken = [name for name in learned if name.startswith(encoder)]
    assert len(taken) > 15
    assert all(torch.equal(learned[name], begun["teacher_layers"][name]) for name in taken)
    assert all(torch.equal(value, made.weights("layers")[name]) for name, value in begun["student"].items())
    assert made.results["label_budget"] == {"training": 60, "validation": 0, "unlabelled": 96, "copies": 312}
