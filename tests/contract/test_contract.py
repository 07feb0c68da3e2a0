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

from contract.test_generator import GAME
from limbeck import registry
from recipes.shell import Shell
from recipes.small import changed

PLUGINS = Path(__file__).parent / "plugins"
LINES = {"task": 200, "detection": 200, "on_policy": 200, "generator": 200}

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

SQUARES: dict[str, Any] = {
    "schema": 1,
    "task": "square_detection",
    "data": {"use": "squares"},
    "models": {
        "teacher": {"use": "grid_detector", "width": 64, "train": {"epochs": 20, "learning_rate": 0.01}},
        "student": {"use": "grid_detector"},
    },
    "objective": {
        "hard": {"loss": "set_of_boxes", "inputs": {"corners": "student.corners"}},
        "soft": {
            "loss": "squared_error",
            "inputs": {"student": "student.corners", "target": "teacher.corners"},
            "weight": 0.1,
        },
    },
    "train": {"epochs": 40, "precision": "float32", "learning_rate": 0.01, "batch_size": 32, "select": "best"},
    "measure": {"draws": 100, "seconds": 0.01},
}
LETTERS: dict[str, Any] = {
    "schema": 1,
    "task": "letters",
    "data": {"use": "lines"},
    "models": {
        "teacher": {"use": "next_letter", "width": 16, "train": {"epochs": 20, "learning_rate": 0.03}},
        "student": {"use": "next_letter"},
    },
    "objective": {"soft": {"loss": "kl_divergence"}},
    "train": {"epochs": 6, "precision": "float32", "learning_rate": 0.03, "batch_size": 16, "checkpoint_every": 0},
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
    "detection": ("square_detection", SQUARES, "mAP"),
    "on_policy": ("letters", LETTERS, "perplexity"),
    "generator": ("strip_generation", GAME, "gap between means"),
}
CASES["teacher"][1]["objective"]["soft"]["inputs"] = {"student": "student.logits", "teacher": "double.logits"}


@pytest.fixture(autouse=True)
def no_plugin_stays() -> Iterator[None]:
    with registry.temporary():
        yield


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


@pytest.mark.parametrize("kind", [*CASES, "reader", "text_model"])
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


def test_lists_of_boxes_are_judged_by_their_average_precision(
    run: Callable[[str, Mapping[str, Any]], Path], shell: Shell
) -> None:
    """Against a loop over all thresholds: the precision of the boxes above each, times the hits at it."""
    folder = run("detection", SQUARES)
    found = results(folder)["models"]
    stored = np.load(folder / "statistics.npz")
    for name in ("teacher", "student"):
        scores, hits, boxes = (stored[f"{name}/0/precision_of_squares/{part}"] for part in ("scores", "hits", "boxes"))
        expected = sum(hits[scores == one].sum() * hits[scores >= one].mean() for one in np.unique(scores))
        assert found[name]["metrics"]["precision_of_squares"]["value"] == pytest.approx(expected / boxes.sum())
    assert found["student"]["metrics"]["precision_of_squares"]["value"] > 0.3
    picture = np.zeros((1, 8, 8))
    picture[0, 5:7, 1:3] = 1
    np.save(shell.folder / "picture.npy", picture)
    code, out, err = shell("predict", str(folder), "picture.npy", "--json")
    assert code == 0, err
    assert all(len(corner) == 2 for corner in json.loads(out)[0]["squares"])


def test_batches_that_the_student_writes_are_resumed_exactly(
    run: Callable[[str, Mapping[str, Any]], Path], shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run("on_policy", LETTERS)
    whole = load_file(folder / "models" / "student" / "model.safetensors")
    for place in (folder, folder.parent / ".stages"):
        shutil.rmtree(place)
    monkeypatch.setenv("STOP_AT_STEP", "11")
    plugin = str(PLUGINS / "on_policy.py")
    code, _, err = shell("run", shell.write(LETTERS), "--plugin", plugin, "--output", "run")
    assert code == 130, err
    assert (folder / "checkpoints" / "student-seed0" / "step-00000011.pt").exists()
    monkeypatch.delenv("STOP_AT_STEP")
    code, _, err = shell("resume", str(folder))
    assert code == 0, err
    again = load_file(folder / "models" / "student" / "model.safetensors")
    assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_nothing_is_cached_of_batches_that_the_student_writes(shell: Shell) -> None:
    plugin = str(PLUGINS / "on_policy.py")
    code, _, err = shell("run", shell.write({**LETTERS, "cache": {}}), "--plugin", plugin, "--output", "run")
    assert (code, err) == (
        2,
        "limbeck: cache: the student writes its own batches, so no output of a teacher can be cached; remove the "
        "section\n",
    )
    assert not (shell.folder / "run").exists()
