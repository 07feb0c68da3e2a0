"""One file from outside adds one thing of each kind: it trains, resumes, is reported and is listed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from limbeck import registry
from recipes.shell import Shell
from recipes.small import changed

PLUGINS = Path(__file__).parent / "plugins"
LINES = {"task": 200}

BASE: dict[str, Any] = {
    "data": {"use": "digits", "limit": 64},
    "objective": {
        "hard": {"loss": "cross_entropy", "weight": 0.5},
        "soft": {"loss": {"use": "kl_divergence", "temperature": 2.0}, "weight": 0.5},
    },
}
SPRINGS: dict[str, Any] = {
    "schema": 1,
    "task": "spring_angles",
    "data": {"use": "springs", "rows": 200},
    "models": {
        "teacher": {"use": "spring_net", "width": 16, "train": {"epochs": 20}},
        "student": {"use": "spring_net", "width": 4},
    },
    "objective": {
        "hard": {"loss": "squared_error"},
        "soft": {"loss": "squared_error", "inputs": {"target": "teacher.angle"}},
    },
    "train": {"epochs": 4, "precision": "float32", "select": "best"},
    "measure": {"draws": 100, "seconds": 0.01},
}

# For each kind: the name of the entry, the recipe, and a word that only this entry brings into the report.
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "teacher": ("scaled", changed({**BASE, "models.double": {"scaled": "teacher"}}), "double"),
    "metric": ("cost_of_errors", changed({**BASE, "measure.metrics": ["cost_of_errors", "accuracy"]}), "EUR"),
    "model": ("one_layer", changed({**BASE, "models.student": {"use": "one_layer"}}), "student"),
    "codec": ("upper_half", changed({**BASE, "cache": {"codec": "upper_half"}}), "student"),
    "compressor": (
        "drop_small_weights",
        changed({**BASE, "compress": [{"use": "drop_small_weights", "below": 0.05}]}),
        "compressed",
    ),
    "protocol": ("warm_restarts", changed({**BASE, "protocol": {"use": "warm_restarts", "restarts": 2}}), "student"),
    "task": ("spring_angles", SPRINGS, "degrees"),
}
CASES["teacher"][1]["objective"]["soft"]["inputs"] = {"student": "student.logits", "teacher": "double.logits"}


@pytest.fixture(autouse=True)
def no_plugin_stays() -> Iterator[None]:
    with registry.temporary():
        yield


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def run(shell: Shell) -> Callable[[str, Mapping[str, Any]], Path]:
    """Run a recipe with the plugin of a kind; the folder of the run."""

    def start(kind: str, recipe: Mapping[str, Any]) -> Path:
        plugin = str(PLUGINS / f"{kind}.py")
        code, _, err = shell("run", shell.write(recipe), "--plugin", plugin, "--output", "run")
        assert code == 0, err
        return shell.folder / "run"

    return start


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    "kind", ["teacher", "metric", "model", "text_model", "codec", "compressor", "protocol", "task", "reader"]
)
def test_a_plugin_is_short(kind: str) -> None:
    assert len((PLUGINS / f"{kind}.py").read_text(encoding="utf-8").splitlines()) < LINES.get(kind, 80)


@pytest.mark.parametrize("kind", CASES)
def test_runs_resumes_and_is_reported(kind: str, shell: Shell, run: Callable[[str, Mapping[str, Any]], Path]) -> None:
    _, recipe, word = CASES[kind]
    folder = run(kind, recipe)
    first, weights = results(folder), load_file(folder / "models" / "student" / "model.safetensors")
    assert word in (folder / "report.html").read_text(encoding="utf-8")
    assert "student" in (folder / "README.md").read_text(encoding="utf-8")
    # What stands beside the finished stages goes; the stages themselves are found again.
    (folder / "results.json").unlink()
    shutil.rmtree(folder / "models")
    code, _, err = shell("resume", str(folder))
    assert code == 0, err
    again = load_file(folder / "models" / "student" / "model.safetensors")
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    assert results(folder)["models"]["student"]["metrics"] == first["models"]["student"]["metrics"]


@pytest.mark.parametrize("kind", CASES)
def test_is_listed(kind: str, shell: Shell) -> None:
    name = CASES[kind][0]
    plugin = str(PLUGINS / f"{kind}.py")
    for words in (("methods", name, "--plugin", plugin), ("recipes", "schema", "--plugin", plugin)):
        code, out, err = shell(*words)
        assert code == 0, err
        assert name in out


def test_a_teacher_teaches(run: Callable[[str, Mapping[str, Any]], Path]) -> None:
    """A factor of 1 is the model itself, another factor is not."""
    _, recipe, _ = CASES["teacher"]
    plain = changed(BASE)
    weights = {}
    for factor in (1.0, 3.0):
        recipe["models"]["double"]["factor"] = factor
        folder = run("teacher", recipe)
        weights[factor] = load_file(folder / "models" / "student" / "model.safetensors")
        shutil.rmtree(folder)
    folder = run("teacher", plain)
    expected = load_file(folder / "models" / "student" / "model.safetensors")
    assert all(torch.equal(weights[1.0][name], value) for name, value in expected.items())
    assert any(not torch.equal(weights[3.0][name], value) for name, value in expected.items())


def test_a_metric_that_is_better_when_smaller(run: Callable[[str, Mapping[str, Any]], Path]) -> None:
    _, recipe, _ = CASES["metric"]
    recipe["train"] |= {"epochs": 3, "select": "best", "log_every": 1}
    folder = run("metric", recipe)
    found = results(folder)
    assert found["metric"] == "cost_of_errors"
    described = found["metrics"]["cost_of_errors"]
    assert (described["unit"], described["higher_is_better"]) == ("EUR", False)
    student = found["models"]["student"]["metrics"]
    assert student["cost_of_errors"]["value"] > 0
    assert "accuracy" in student


def test_a_compressor_is_one_stage(run: Callable[[str, Mapping[str, Any]], Path]) -> None:
    _, recipe, _ = CASES["compressor"]
    folder = run("compressor", recipe)
    weights = load_file(folder / "models" / "student" / "model.safetensors")
    smaller = load_file(folder / "models" / "compressed" / "model.safetensors")
    for name, value in weights.items():
        assert torch.equal(smaller[name], value.where(value.abs() >= 0.05, 0.0))
    assert "compressed" in results(folder)["models"]
    stages = [json.loads(file.read_text(encoding="utf-8")) for file in (folder.parent / ".stages").glob("*/stage.json")]
    assert [stage["kind"] for stage in stages].count("compress") == 1


def test_a_protocol_adds_stages(run: Callable[[str, Mapping[str, Any]], Path], shell: Shell) -> None:
    _, recipe, _ = CASES["protocol"]
    folder = run("protocol", recipe)
    stages = {
        event["stage"]
        for file in folder.rglob("*.jsonl")
        for event in map(json.loads, file.read_text(encoding="utf-8").splitlines())
    }
    assert {"student", "student_restart1", "student_restart2"} <= stages


def test_a_reader_serves_every_row_type(run: Callable[[str, Mapping[str, Any]], Path], shell: Shell) -> None:
    """The same file of a made-up format gives texts to one task and tables to another."""
    words = {True: ("good fine", "yes"), False: ("bad poor", "no")}
    rows = [f"words={words[n % 2 == 1][0]} {n}; size={n % 7}; kind={words[n % 2 == 1][1]}" for n in range(80)]
    (shell.folder / "rows.pairs").write_text("% made up\n" + "\n".join(rows) + "\n", encoding="utf-8")
    texts = changed(BASE)
    texts |= {
        "task": "text_classification",
        "data": {"use": "pairs", "file": "rows.pairs", "text": "words", "label": "kind"},
    }
    texts["models"] = {
        "teacher": {"use": "bag_of_words", "train": {"epochs": 1, "batch_size": 16}},
        "student": {"use": "bag_of_words"},
    }
    texts["train"] |= {"batch_size": 16}
    texts["export"] = {"formats": ["onnx"]}
    assert sorted(results(run("reader", texts))["classes"]) == ["no", "yes"]
    shutil.rmtree(shell.folder / "run")
    tables = changed(BASE)
    tables |= {
        "task": "regression",
        "data": {"use": "pairs", "file": "rows.pairs", "features": ["words", "kind"], "label": "size"},
    }
    tables["models"] = {
        "teacher": {"use": "mlp", "train": {"epochs": 1, "batch_size": 16}},
        "student": {"use": "mlp", "width": 4},
    }
    tables["train"] |= {"batch_size": 16}
    tables["objective"] = {
        "hard": {"loss": "squared_error"},
        "soft": {"loss": "squared_error", "inputs": {"target": "teacher.value"}},
    }
    assert results(run("reader", tables))["metric"] == "rmse"


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
def test_a_model_of_texts_serves_texts_and_words(
    task: str, run: Callable[[str, Mapping[str, Any]], Path], shell: Shell
) -> None:
    words, labels = (["good", "film"], ["bad", "cast"]), (["yes", "no"], ["no", "yes"])
    rows = [{"text": " ".join(words[n % 2]), "label": labels[n % 2][0]} for n in range(80)]
    if task == "token_classification":
        rows = [{"words": words[n % 2], "tags": labels[n % 2]} for n in range(80)]  # type: ignore[dict-item]
    (shell.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = changed(BASE) | {"task": task, "data": {"use": "jsonl", "file": "rows.jsonl"}}
    model = {"use": "word_vectors", "tokenizer": {"use": "words", "least": 1}}
    recipe["models"] = {
        "teacher": {**model, "train": {"epochs": 1, "batch_size": 16}},
        "student": {**model, "width": 4},
    }
    recipe["train"] |= {"batch_size": 16, "epochs": 12, "learning_rate": 0.1}
    recipe["export"] = {"formats": ["onnx"]}
    folder = run("text_model", recipe)
    student = results(folder)["models"]["student"]["metrics"]
    assert student["accuracy"]["value"] > 0.9
    code, out, err = shell("methods", "word_vectors", "--plugin", str(PLUGINS / "text_model.py"))
    assert (code, err) == (0, "")
    assert out.startswith("model word_vectors (for texts; one label per text or per word)\n")
    assert "per_word" not in out


def test_a_task_without_classes(run: Callable[[str, Mapping[str, Any]], Path], shell: Shell) -> None:
    folder = run("task", SPRINGS)
    found = results(folder)
    assert found["metric"] == "angle_error"
    assert found["classes"] == []
    # The verdict names the direction: a smaller error is better.
    difference = next(
        one
        for one in found["comparisons"]
        if (one["a"], one["b"], one["metric"]) == ("student", "control", "angle_error")
    )
    assert found["metrics"]["angle_error"]["higher_is_better"] is False
    assert np.isfinite(difference["difference"])
    assert found["models"]["exported"]["metrics"]["angle_error"]["value"] == pytest.approx(
        found["models"]["student"]["metrics"]["angle_error"]["value"], abs=1e-3
    )
    code, out, err = shell("predict", str(folder), "0.5,0.5", "--json")
    assert code == 0, err
    assert -90 < json.loads(out)[0]["angle"] < 90
