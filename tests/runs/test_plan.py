"""Models that learn from each other: in steps, over generations, together."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck.runs import plan
from limbeck.runs.models import Models
from limbeck.training.loop import Job
from recipes.small import parse
from runs.finished import Go, Run, digits

Jobs = list[tuple[Job, dict[str, torch.Tensor]]]

SOFT = {"loss": {"use": "kl_divergence", "temperature": 2.0}, "weight": 0.5}
HARD = {"loss": "cross_entropy", "weight": 0.5, "where": "batch.labelled"}


def stages(run: Run) -> list[str]:
    return list(dict.fromkeys(event["stage"] for event in run.events))


def small(width: int, **more: Any) -> dict[str, Any]:
    return {"use": "mlp", "width": width, "depth": 1, **more}


def test_an_assistant_learns_from_the_teacher_and_teaches_the_student(go: Go, jobs: Jobs) -> None:
    objective = {"hard": HARD, "soft": SOFT}
    run = go(
        {
            "models.assistant": small(12, train={"epochs": 2}, objective=objective),
            "objective.soft": {**SOFT, "inputs": {"teacher": "assistant.logits"}},
            "train.seed": 5,
        }
    )
    assert stages(run) == ["teacher", "teacher_assistant", "control", "student"]
    assert {name for event in run.taught("teacher_assistant") for name in event["terms"]} == {"hard", "soft"}
    trained = {job.stage: job for job, _ in jobs}
    assistant, student = trained["teacher_assistant"].distiller, trained["student"].distiller
    # The student learns from the assistant alone, and that from the teacher alone.
    width = {
        name: taught.teachers[name].model.model.net.head.in_features
        for taught in (assistant, student)
        for name in taught.teachers
    }
    assert width == {"teacher": 16, "assistant": 12}
    first = next(trained["teacher_assistant"].batches.iterate(0, 1))
    assert int((~first["labelled"]).sum()) == 48
    kept = run.weights("assistant")
    taught = student.teachers["assistant"].model.model.state_dict()
    assert all(torch.equal(value, taught[name]) for name, value in kept.items())


def test_an_ensemble_of_generations(go: Go, jobs: Jobs) -> None:
    objective = {"hard": HARD, "soft": SOFT}
    second = {"hard": HARD, "soft": {**SOFT, "inputs": {"teacher": "first.logits"}}}
    run = go(
        {
            "train.seed": 6,
            "models.alone": small(8, train={"epochs": 1, "seed": 3}, objective={"hard": HARD}),
            "models.first": small(8, train={"epochs": 1, "seed": 1}, objective=objective),
            "models.second": small(8, train={"epochs": 1, "seed": 2}, objective=second),
            "models.generations": {"ensemble": ["alone", "first", "second"], "temperature": 2.0},
            "objective.soft": {**SOFT, "inputs": {"teacher": "generations.logits"}},
        }
    )
    assert stages(run) == ["teacher_alone", "teacher", "teacher_first", "teacher_second", "control", "student"]
    # Nobody teaches the first of them: it sees full batches of labelled rows, as the control does.
    for job, _ in jobs:
        labelled = next(job.batches.iterate(0, 1))["labelled"].float().mean()
        assert labelled == (0.25 if job.stage in ("teacher_first", "teacher_second", "student") else 1), job.stage
    assert {path.name for path in (run.path / "models").iterdir()} >= {"first", "second", "teacher", "student"}


MUTUAL = {
    "models.peer": small(8, train="together"),
    "objective": {
        "hard": HARD,
        "hard_peer": {**HARD, "inputs": {"student": "peer.logits"}},
        "from_peer": {"loss": "kl_divergence", "inputs": {"teacher": "peer.logits"}},
        "to_peer": {"loss": "kl_divergence", "inputs": {"student": "peer.logits", "teacher": "student.logits"}},
    },
    "seeds": 2,
}


def test_two_students_that_train_together(go: Go, jobs: Jobs) -> None:
    run = go({**MUTUAL, "train.seed": 21})
    assert stages(run) == ["control", "student"]
    trained = {(job.stage, job.seed): before for job, before in jobs}
    for seed in (21, 22):
        control, student = trained["control", seed], trained["student", seed]
        assert all(torch.equal(value, student[name]) for name, value in control.items())
    models = run.results["models"]
    assert [len(models[name]["seeds"]) for name in ("control", "student", "peer")] == [2, 2, 2]
    assert not torch.equal(run.weights("student")["net.head.weight"], run.weights("peer")["net.head.weight"])


@pytest.mark.parametrize(("width", "seed", "chosen"), [(8, 0, "student"), (8, 1, "peer"), (1, 0, "student")])
def test_the_better_on_validation_rows_is_exported(go: Go, width: int, seed: int, chosen: str) -> None:
    run = go(
        {
            **MUTUAL,
            "models.peer": small(width, train="together"),
            "seeds": 1,
            "train.seed": seed,
            "train.epochs": 5,
            "export": {"formats": ["onnx"]},
        }
    )
    models, task = run.results["models"], digits(labels=100, augment={"crop": 1})
    recipe = parse({"models.peer": small(width, train="together")})
    built = {
        name: Models(recipe.models, task, {}).trained(name, run.weights(name)).eval() for name in ("student", "peer")
    }
    accuracy = {name: task.validate(model)["accuracy"] for name, model in built.items()}
    assert accuracy["student"] != accuracy["peer"]
    best = max(accuracy, key=accuracy.__getitem__)
    assert best == chosen
    assert run.results["export"]["model"] == best
    assert models["exported"]["cost"]["parameters"] == models[best]["cost"]["parameters"]
    assert models["exported"]["metrics"]["accuracy"]["value"] == models[best]["metrics"]["accuracy"]["value"]


def test_a_larger_peer_that_is_better_is_not_exported(go: Go) -> None:
    peer, export = small(64, train="together"), {"formats": ["onnx"]}
    run = go({**MUTUAL, "models.peer": peer, "seeds": 1, "train.epochs": 5, "export": export})
    assert run.accuracy("peer") > run.accuracy("student")
    assert run.results["export"]["model"] == "student"
    assert run.results["label_budget"]["validation"] == 0


def test_peers_of_one_architecture_begin_apart() -> None:
    recipe = parse(MUTUAL)
    task = digits(labels=100)
    models = Models(recipe.models, task, {}).learners(plan.student(recipe, task), seed=0, teachers={})
    assert list(models) == ["student", "peer"]
    assert not torch.equal(models["student"].net.head.weight, models["peer"].net.head.weight)
