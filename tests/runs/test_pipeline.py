"""Whole runs, of a second each: what they leave, say and train anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn import metrics

import limbeck
from limbeck.report.results import parse_results
from runs.finished import Go, Run, digits

# What a run leaves.


def test_the_folder_holds_what_the_contract_says(whole: Run) -> None:
    for file in (
        "recipe.yaml",
        "environment.json",
        "events.jsonl",
        "results.json",
        "statistics.npz",
        "report.html",
        "README.md",
        "export/student.onnx",
        *(
            f"models/{name}/{part}"
            for name in ("teacher", "control", "student")
            for part in ("config.json", "model.safetensors")
        ),
    ):
        assert (whole.path / file).stat().st_size > 0, file
    assert not list(whole.path.rglob("*.tmp"))


def test_statistics_of_rows_give_the_results_again(whole: Run) -> None:
    results = whole.results
    with np.load(whole.path / "statistics.npz", allow_pickle=False) as stored:
        statistics = dict(stored)
    scoring = digits().scoring
    for model, found in results["models"].items():
        for metric in [one for one in scoring.metrics if one.name in found["metrics"]]:
            table = statistics[f"{model}/0/{metric.name}"]
            assert len(table) == results["test_rows"]
            value = metric.value(table, np.ones((1, len(table))))[0]
            assert value == pytest.approx(found["seeds"][0]["metrics"][metric.name], abs=1e-12)


def test_results_have_the_shape_of_the_contract(whole: Run) -> None:
    results = whole.results
    assert parse_results(results).version == 1
    assert list(results["models"]) == ["teacher", "control", "student", "exported"]
    for model in results["models"].values():
        for metric in model["metrics"].values():
            assert metric["low"] <= metric["value"] <= metric["high"]
        assert model["cost"]["parameters"] > 0
        assert model["cost"]["flops"] > 0
        assert model["cost"]["latency_ms"]["median"] > 0
        assert model["cost"]["throughput"]["rows_per_second"] > 0
        assert [seed["seed"] for seed in model["seeds"]] == [0]
    pairs = {(one["a"], one["b"]) for one in results["comparisons"]}
    assert pairs == {("student", "control"), ("student", "teacher")}
    for one in results["comparisons"]:
        assert one["low"] <= one["difference"] <= one["high"]
        assert one["scope"] == "rows"
    assert results["label_budget"] == {"training": 100, "validation": 0, "unlabelled": 1068}


def test_costs_are_those_of_the_files(whole: Run) -> None:
    models = whole.results["models"]
    for name in ("teacher", "control", "student"):
        assert models[name]["cost"]["bytes"] == (whole.path / f"models/{name}/model.safetensors").stat().st_size
    assert models["exported"]["cost"]["bytes"] == (whole.path / "export/student.onnx").stat().st_size
    assert models["student"]["cost"]["parameters"] == 64 * 8 + 8 + 8 * 10 + 10


def test_metrics_are_those_of_scikit_learn(whole: Run) -> None:
    task = digits(labels=100)
    session = onnxruntime.InferenceSession(whole.path / "export/student.onnx", providers=["CPUExecutionProvider"])
    rows = list(task.evaluation(task.test))
    inputs = np.concatenate([batch["inputs"].numpy() for batch in rows])
    target = np.concatenate([batch["target"].numpy() for batch in rows])
    logits = session.run(None, {session.get_inputs()[0].name: inputs})[0].astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    truth = np.eye(10)[target]
    expected = {
        "accuracy": metrics.accuracy_score(target, logits.argmax(1)),
        "top5_accuracy": metrics.top_k_accuracy_score(target, shares, k=5),
        "macro_f1": metrics.f1_score(target, logits.argmax(1), average="macro"),
        "negative_log_likelihood": metrics.log_loss(target, shares),
        "brier_score": ((shares - truth) ** 2).sum(1).mean(),
    }
    for model in ("student", "exported"):
        found = whole.results["models"][model]["metrics"]
        for name, value in expected.items():
            assert found[name]["value"] == pytest.approx(value, abs=1e-5), (model, name)


def test_the_export_is_held_to_the_model(whole: Run) -> None:
    export = whole.results["export"]
    assert export["file"] == "export/student.onnx"
    assert export["rows"] == whole.results["test_rows"] == 359
    assert 0 <= export["max_difference"] <= export["tolerance"]


def test_recipe_yaml_again_takes_every_stage_from_the_store(whole: Run, no_training: None) -> None:
    again = Run(limbeck.run(whole.path / "recipe.yaml", output=whole.path.parent / "again"))
    assert again.results == whole.results
    assert (again.path / "recipe.yaml").read_text() == (whole.path / "recipe.yaml").read_text()
    assert again.events == whole.events
    for name in ("teacher", "control", "student"):
        assert (again.path / f"models/{name}/model.safetensors").read_bytes() == (
            whole.path / f"models/{name}/model.safetensors"
        ).read_bytes()


def test_fresh_trains_anew_and_ends_with_the_same_weights(whole: Run, jobs: list[Any]) -> None:
    again = Run(limbeck.run(whole.path / "recipe.yaml", output=whole.path.parent / "fresh", fresh=True))
    assert [job.stage for job, _ in jobs] == ["teacher", "control", "student"]
    for name in ("teacher", "control", "student"):
        for key, value in whole.weights(name).items():
            assert torch.equal(again.weights(name)[key], value)


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"objective.soft.weight": 0.4}, ["student"]),
        ({"objective.soft.loss.temperature": 3.0}, ["student"]),
        ({"objective.hard.weight": 0.4}, ["student"]),
        ({"balance": "uncertainty"}, ["student"]),
        ({"models.student.width": 7}, ["control", "student"]),
        ({"train.learning_rate": 1e-3}, ["control", "student"]),
        ({"models.teacher.train.learning_rate": 1e-3}, ["teacher", "student"]),
        ({"data.labels": 90}, ["control", "student"]),
        ({"data.split_seed": 1}, ["teacher", "control", "student"]),
        ({"measure.draws": 101}, []),
        ({"train.log_every": 2}, []),
    ],
    ids=str,
)
def test_only_what_has_changed_is_trained(
    whole: Run, go: Go, jobs: list[Any], changes: dict[str, Any], trained: list[str]
) -> None:
    go(changes)
    assert [job.stage for job, _ in jobs] == trained


# The verdict.


def test_one_seed_never_says_that_it_helped_or_hurt(whole: Run) -> None:
    verdict = whole.results["verdict"]
    assert verdict.startswith("These two models")
    assert "helped" not in verdict
    assert "hurt" not in verdict


def test_three_seeds(go: Go) -> None:
    run = go({"seeds": 3, "train.seed": 5})
    results = run.results
    assert results["verdict"].startswith(("Distillation helped", "Distillation hurt", "No difference"))
    assert results["seeds"] == [5, 6, 7]
    for name in ("control", "student"):
        values = [seed["metrics"]["accuracy"] for seed in results["models"][name]["seeds"]]
        assert [seed["seed"] for seed in results["models"][name]["seeds"]] == [5, 6, 7]
        assert run.accuracy(name) == pytest.approx(np.mean(values))
    assert {one["scope"] for one in results["comparisons"]} == {"rows+seeds"}
    assert len({str(event["seed"]) for event in run.taught("student")}) == 3


def test_without_a_control(go: Go) -> None:
    run = go({"control": False})
    assert list(run.results["models"]) == ["teacher", "student"]
    assert "No control" in run.results["verdict"]
    assert not (run.path / "models/control").exists()


def test_without_an_export_after_a_run_that_had_one(whole: Run, go: Go) -> None:
    run = go()
    assert run.results["export"] is None
    assert "exported" not in run.results["models"]
    assert not (run.path / "export").exists()


def test_files_of_one_model_in_recipes_of_two_names_say_their_own(go: Go) -> None:
    for name in ("one", "other"):
        run = go({"name": name, "export": {"formats": ["onnx", "int8"]}})
        for file in ("student.onnx", "student.int8.onnx"):
            session = onnxruntime.InferenceSession(run.path / "export" / file)
            assert session.get_modelmeta().custom_metadata_map["recipe"] == name
