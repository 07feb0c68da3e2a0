"""The built-in recipes of texts, on reviews and BERTs of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import limbeck
from limbeck import api
from limbeck.errors import RecipeError
from limbeck.recipes.read import builtin_text, override, read_recipe
from limbeck.training.loop import Job
from recipes.builtin import TEXTS, given
from recipes.shell import Shell
from recipes.small import resolve
from runs.finished import Run
from tasks import small_texts

Jobs = list[tuple[Job, dict[str, torch.Tensor]]]

FAST = [
    "train.log_every=1",
    "measure.draws=100",
    "measure.seconds=0.01",
    "export.formats=[]",
    "train.batch_size=16",
    "train.learning_rate=5e-3",
]
TEACHER = ["teacher.train.epochs=8", "teacher.train.batch_size=16", "teacher.train.learning_rate=5e-3"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def run(name: str, folder: Path, *settings: str) -> Run:
    overrides = [*given(folder, name), *FAST, *TEACHER, *settings]
    return Run(limbeck.run(name, overrides=overrides, output=folder / "run"))


@pytest.mark.parametrize("name", TEXTS)
def test_it_asks_for_a_file_and_a_teacher_and_resolves_to_itself(name: str, tmp_path: Path) -> None:
    made = given(tmp_path, name)
    raw = override(read_recipe(name)[1], [one for one in made if one.startswith("data.augment")])
    with pytest.raises(RecipeError, match=r"data: csv needs 'file'"):
        resolve(raw, name=name)
    with pytest.raises(RecipeError, match=r"models\.teacher: hugging_face needs 'folder'"):
        resolve(override(raw, [one for one in made if not one.startswith("teacher")]), name=name)
    once = resolve(override(raw, made), name=name)
    assert resolve(once, name=name) == once
    assert f"# limbeck run {name} --set data.file=" in builtin_text(name)


def test_check_takes_what_is_missing(shell: Shell, tmp_path: Path) -> None:
    assert "data: csv needs 'file'" in shell.refused("recipes", "check", "distilbert")
    settings = [part for item in [*given(tmp_path), "student.layers=1"] for part in ("--set", item)]
    code, out, err = shell("recipes", "check", "distilbert", *settings)
    assert (code, err) == (0, "")
    assert "file: " + str(tmp_path / "reviews.csv") in out


def terms(run: Run, stage: str = "student") -> dict[str, Any]:
    found: dict[str, Any] = run.taught(stage)[-1]["terms"]
    return found


def config(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = read_recipe(run.path / "recipe.yaml")[1]
    return found


def test_distilbert(tmp_path: Path, jobs: Jobs) -> None:
    made = run("distilbert", tmp_path, "student.layers=1", "train.epochs=4")
    begun = {job.stage: weights for job, weights in jobs}
    # Of two layers the second.
    for name, value in begun["student"].items():
        assert torch.equal(value, made.weights("teacher")[name.replace("layer.0.", "layer.1.")])
    assert terms(made).keys() == {"hard", "soft", "cosine"}
    assert made.accuracy("student") > 0.8


def test_patient_kd(tmp_path: Path, jobs: Jobs) -> None:
    made = run("patient-kd", tmp_path, "student.layers=[0, 1]", "train.epochs=1")
    begun = {job.stage: weights for job, weights in jobs}
    assert begun["student"].keys() == made.weights("teacher").keys()
    assert all(torch.equal(value, made.weights("teacher")[name]) for name, value in begun["student"].items())
    assert terms(made).keys() == {"hard", "soft", "patient"}
    assert made.accuracy("student") > 0.8


def test_minilm(tmp_path: Path) -> None:
    made = run("minilm", tmp_path, "student.layers=1", "train.epochs=2")
    assert terms(made).keys() == {"hard", "attention", "values"}
    for model, layers in (("teacher", 2), ("student", 1)):
        path = "bert.encoder.layer.{}.attention.self.{}"
        assert config(made)["models"][model]["taps"] == {
            role: [path.format(layer, role) for layer in range(layers)] for role in ("query", "key", "value")
        }
    assert made.accuracy("student") > 0.8


def test_tinybert_learns_layers_first_and_predictions_then(tmp_path: Path, jobs: Jobs) -> None:
    train = {"epochs": 4, "batch_size": 16, "learning_rate": 5e-3}
    own = [f"models.layers.train.{key}={value}" for key, value in train.items()]
    made = run("tinybert", tmp_path, "train.epochs=30", *own)
    begun = {job.stage: weights for job, weights in jobs}
    assert list(begun) == ["teacher", "teacher_layers", "control", "student"]
    assert terms(made, "teacher_layers").keys() == {"states", "attention"}
    first, last = (made.taught("teacher_layers")[place]["terms"]["states"] for place in (0, -1))
    assert last < first
    before = load_file(tmp_path / "small" / "model.safetensors")
    found = begun["teacher_layers"]
    shared = [name for name in before if f"bert.{name}" in found]
    assert len(shared) > 15
    assert all(torch.equal(before[name], found[f"bert.{name}"]) for name in shared)
    assert terms(made).keys() == {"soft"}
    assert all(torch.equal(value, made.weights("layers")[name]) for name, value in begun["student"].items())
    assert made.results["label_budget"]["copies"] == 2 * (240 - 48 - 36)
    assert made.accuracy("student") > 0.8


def test_bilstm_learns_from_rows_without_a_label(tmp_path: Path) -> None:
    more = small_texts.write_csv(tmp_path / "more.csv", range(240, 340), label=False)
    unlabelled = f"data.unlabelled={{use: csv, file: {more}, text: review, label: null}}"
    made = run("bilstm", tmp_path, unlabelled, "train.epochs=6")
    # Of 240 rows 20% are for the test and 15% for validation; 60 of the others have a label, and 100 come beside.
    assert made.results["label_budget"] == {"training": 60, "validation": 0, "unlabelled": 240 - 48 - 36 - 60 + 100}
    assert terms(made).keys() == {"soft"}
    assert config(made)["models"]["teacher"]["inputs"] == "batch.tokens.teacher"
    assert made.accuracy("student") > 0.8


def with_hidden_states(folder: Path, **changes: Any) -> dict[str, Any]:
    settings = [*given(folder), *FAST, "student.layers=1", *(f"{path}={value}" for path, value in changes.items())]
    return override(read_recipe("distilbert")[1], settings)


def test_states_of_tokens_stay_out_of_a_cache(tmp_path: Path, no_training: None) -> None:
    recipe = with_hidden_states(tmp_path, cache="{teachers: [teacher]}")
    with pytest.raises(RecipeError, match=r"'teacher' cannot be cached: its hidden_states may have another shape"):
        limbeck.run(recipe, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_bag_of_words_in_8_bits_is_refused_before_any_training(tmp_path: Path, no_training: None) -> None:
    words = {**small_texts.recipe(tmp_path, use="bag_of_words"), "export": {"formats": ["onnx", "int8"]}}
    with pytest.raises(RecipeError, match=r"export\.formats: BagOfWords has no products to compute in 8 bits"):
        limbeck.run(words, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_taps_of_texts_are_listed_and_proposed(tmp_path: Path) -> None:
    recipe = with_hidden_states(tmp_path)
    found = api.taps(recipe)
    paths = [module["path"] for module in found["models"]["student"]["modules"]]
    assert "bert.encoder.layer.0.attention.self.query" in paths
    assert found["taps"] == {
        "teacher": {"layer_1": "bert.embeddings", "layer_2": "bert.encoder.layer.1"},
        "student": {"layer_1": "bert.embeddings", "layer_2": "bert.encoder.layer.0"},
    }


def test_taps_that_are_chosen_teach(tmp_path: Path) -> None:
    recipe = with_hidden_states(tmp_path, **{"train.epochs": 4, "train.precision": "float32"})
    del recipe["objective"]["cosine"]
    recipe["objective"]["states"] = {
        "loss": "hidden_states_mse",
        "inputs": {"student": "student.layer_2", "teacher": "teacher.layer_2"},
        "where": "batch.inputs.attention_mask",
        "weight": 10.0,
    }
    for name in ("teacher", "student"):
        recipe["models"][name] |= {"taps": "auto", "call": {}}
    made = Run(limbeck.run(recipe, output=tmp_path / "run"))
    assert config(made)["models"]["student"]["taps"]["layer_2"] == "bert.encoder.layer.0"
    states = [event["terms"]["states"] for event in made.taught("student")]
    assert sum(states[-3:]) < 0.8 * sum(states[:3])


def test_layers_of_other_tokens_are_not_paired(tmp_path: Path) -> None:
    recipe = override(read_recipe("bilstm")[1], [*given(tmp_path), "student.taps=auto", "teacher.taps=auto"])
    with pytest.raises(RecipeError, match=r"student reads batch.inputs, teacher reads batch.tokens.teacher; name mod"):
        api.check(recipe)
    assert api.taps({**recipe, "models": {n: {**s, "taps": {}} for n, s in recipe["models"].items()}})["taps"] == {}
