"""Whole runs, of a second each: controls, teachers, students and objects."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torch.utils.data import TensorDataset

import limbeck
from limbeck.errors import LimbeckError, RecipeError
from limbeck.training.loop import Job
from recipes.small import GONE, SMALL, changed, parse
from runs.finished import Go, Run, digits
from tasks import small_texts

HINT = {
    "models.teacher.taps": {"hint": "layers.0"},
    "models.student.taps": {"guided": "layers.0"},
    "objective.hint": {
        "loss": "hint_mse",
        "inputs": {"student": "student.guided", "teacher": "teacher.hint"},
        "weight": 0.1,
    },
}

# The control.


def test_the_control_is_fair(go: Go, jobs: list[tuple[Job, dict[str, torch.Tensor]]]) -> None:
    go({"train.seed": 3, "seeds": 2})
    trained = {(job.stage, job.seed): (job, before) for job, before in jobs}
    for seed in (3, 4):
        (control, initial), (student, same) = trained["control", seed], trained["student", seed]
        assert all(torch.equal(value, same[name]) for name, value in initial.items())
        assert control.settings == student.settings
        assert (control.total, control.steps_per_epoch) == (student.total, student.steps_per_epoch)
        assert sum(float(term.weight) for term in control.distiller.terms.values()) == 1
        assert not control.distiller.teachers
        for batch in control.batches.iterate(0, control.total):
            assert batch["labelled"].all()
        for batch in student.batches.iterate(0, student.total):
            assert len(batch["labelled"]) == 64
            assert batch["labelled"].float().mean() == 0.25
    assert not torch.equal(trained["control", 3][1]["net.head.weight"], trained["control", 4][1]["net.head.weight"])


@pytest.mark.parametrize(
    ("objective", "terms"),
    [
        ({"soft": SMALL["objective"]["soft"]}, {"hard": 1.0}),
        ({"hard": {"loss": "cross_entropy", "weight": 0}, "soft": SMALL["objective"]["soft"]}, {"hard": 1.0}),
        (
            {"one": {"loss": "cross_entropy", "weight": 3}, "two": {"loss": "cross_entropy", "weight": 1}},
            {"one": 0.75, "two": 0.25},
        ),
        (
            {
                "one": {"loss": "cross_entropy", "weight": {"use": "linear", "start": 3, "end": 0, "steps": 2}},
                "two": {"loss": "cross_entropy", "weight": 1},
                "soft": SMALL["objective"]["soft"],
            },
            {"one": 0.75, "two": 0.25},
        ),
        (
            {"ramp": {"loss": "cross_entropy", "weight": {"use": "linear", "start": 0, "end": 1, "steps": 9}}},
            {"ramp": 1},
        ),
        (
            {
                "hard": {"loss": "cross_entropy"},
                "sure": {"loss": "cross_entropy", "scale": "teacher.logits"},
                "self": {"loss": "kl_divergence", "inputs": {"teacher": "student.logits"}, "where": "batch.labelled"},
            },
            {"hard": 1.0},
        ),
    ],
    ids=["no supervised term", "hard off", "two", "schedule", "ramp", "teacher in scale, self-distillation"],
)
def test_the_supervised_weights_of_the_control_sum_to_one(objective: Any, terms: dict[str, float]) -> None:
    from limbeck.runs import plan
    from limbeck.runs.build import build_distiller
    from limbeck.runs.models import Models

    recipe, task = parse({"objective": objective}), digits()
    student = Models(recipe.models, task, {}).initial("student", 0)
    distiller = build_distiller(plan.control(recipe, task), recipe.models, {"student": student}, {})
    assert {name: float(term.weight) for name, term in distiller.terms.items()} == terms
    for step in range(1, 12):
        for term in distiller.terms.values():
            term.follow_step(step)
        assert sum(float(term.weight) for term in distiller.terms.values()) == pytest.approx(1)


def test_without_a_supervised_term_the_control_learns_by_cross_entropy(go: Go) -> None:
    run = go({"objective.hard": GONE})
    assert {name for event in run.taught("student") for name in event["terms"]} == {"soft"}
    assert {name for event in run.taught("control") for name in event["terms"]} == {"hard"}


def test_deep_supervision_reaches_the_control(go: Go) -> None:
    run = go(
        {
            "models.student": {"use": "mlp", "width": 10, "depth": 2, "taps": {"early": "layers.0"}},
            "objective.deep": {
                "loss": "cross_entropy",
                "inputs": {"student": "student.early"},
                "where": "batch.labelled",
            },
        }
    )
    assert {name for event in run.taught("control") for name in event["terms"]} == {"hard", "deep"}


def test_the_control_does_not_depend_on_what_only_teaching_reads(
    go: Go, jobs: list[tuple[Job, dict[str, torch.Tensor]]]
) -> None:
    plain = go({"train.seed": 71})
    assert [job.stage for job, _ in jobs][-2:] == ["control", "student"]
    jobs.clear()
    guided = go({"train.seed": 71, **HINT})
    assert [job.stage for job, _ in jobs] == ["student"]
    assert guided.taught("control") == plain.taught("control") != []
    jobs.clear()
    # The same where nothing was there to be taken.
    again = go({"train.seed": 71, **HINT}, fresh=True)
    assert "control" in [job.stage for job, _ in jobs]
    assert all(torch.equal(value, again.weights("control")[key]) for key, value in plain.weights("control").items())


def test_the_control_of_a_smaller_copy_does_not_depend_on_taps_of_what_it_begins_from(
    tmp_path: Path, jobs: list[tuple[Job, dict[str, torch.Tensor]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))
    plain = {**small_texts.recipe(tmp_path), "export": {"formats": []}}
    plain["models"]["student"] = {"shrink": "teacher", "layers": 1}
    limbeck.run(plain, output=tmp_path / "runs/plain")
    assert [job.stage for job, _ in jobs] == ["teacher", "control", "student"]
    jobs.clear()
    tapped = copy.deepcopy(plain)
    for model in tapped["models"].values():
        model["taps"] = "attention"
    tapped["objective"]["values"] = {
        "loss": "value_relation",
        "inputs": {
            "student_value": "student.value",
            "teacher_value": "teacher.value",
            "attention_mask": "batch.inputs.attention_mask",
        },
    }
    limbeck.run(tapped, output=tmp_path / "runs/tapped")
    assert [job.stage for job, _ in jobs] == ["student"]


# Arrangements.


@pytest.mark.parametrize("student", [{"use": "mobilenet"}, {"use": "resnet", "width": 4}, "mlp"], ids=str)
def test_students(go: Go, student: Any) -> None:
    run = go({"models.student": student, "export": GONE})
    assert run.results["export"]["max_difference"] <= 1e-4


def test_hints_between_taps(go: Go) -> None:
    run = go(HINT)
    assert all(event["terms"]["hint"] > 0 for event in run.taught("student"))
    assert not any("projection" in name for name in run.weights("student"))


def test_an_ensemble_of_two_teachers(go: Go) -> None:
    mlp = {"use": "mlp", "width": 9, "depth": 1, "train": {"epochs": 1, "learning_rate": 0.01}}
    run = go(
        {
            "models.a": mlp,
            "models.b": {**mlp, "width": 11},
            "models.spare": {"use": "mlp"},
            "models.teacher": {"ensemble": {"a": 2, "b": 1}, "temperature": 2.0},
        }
    )
    assert sorted(path.name for path in (run.path / "models").iterdir()) == ["a", "b", "control", "student"]
    assert [event["stage"] for event in run.events if "validation" in event][:2] == ["teacher_a", "teacher_b"]
    task = digits(labels=100)
    inputs = torch.cat([batch["inputs"] for batch in task.evaluation(task.test)])
    target = torch.cat([batch["target"] for batch in task.evaluation(task.test)])
    softened = sum(
        share * torch.softmax(own_mlp(run.weights(name), inputs) / 2, -1)
        for name, share in (("a", 2 / 3), ("b", 1 / 3))
    )
    assert run.accuracy("teacher") == pytest.approx((softened.argmax(1) == target).double().mean().item())
    assert run.results["teachers"] == ["teacher", "a", "b"]
    own = own_mlp(run.weights("a"), inputs)
    assert run.accuracy("a") == pytest.approx((own.argmax(1) == target).double().mean().item())
    parameters = sum(75 * width + 10 for width in (9, 11))
    assert run.results["models"]["teacher"]["cost"]["parameters"] == parameters


def own_mlp(weights: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """The forward pass of an mlp of depth 1, by hand."""
    hidden = ((inputs - weights["mean"]) / weights["std"]).flatten(1)
    hidden = (hidden @ weights["net.layers.0.0.weight"].T + weights["net.layers.0.0.bias"]).clamp(min=0)
    return hidden @ weights["net.head.weight"].T + weights["net.head.bias"]


def test_two_teachers_that_are_read_apart(go: Go) -> None:
    run = go(
        {
            "models.small": {"use": "mlp", "width": 5, "depth": 1, "train": {"epochs": 1}},
            "objective.other": {"loss": "mse_logits", "inputs": {"teacher": "small.logits"}, "weight": 0.1},
        }
    )
    results = run.results
    assert list(results["models"]) == ["teacher", "small", "control", "student"]
    assert results["teachers"] == ["teacher", "small"]
    assert {one["b"] for one in results["comparisons"]} == {"control", "teacher"}
    for name, width in (("teacher", 16), ("small", 5)):
        cost = results["models"][name]["cost"]
        assert cost["bytes"] == (run.path / f"models/{name}/model.safetensors").stat().st_size
        assert cost["parameters"] == 64 * width + width + 10 * width + 10
    # The others agree with the one that the student is compared with.
    agreeing = {name for name, model in results["models"].items() if "teacher_agreement" in model["metrics"]}
    assert agreeing == {"small", "control", "student"}
    assert "\nsmall:\n" in (run.path / "README.md").read_text(encoding="utf-8")


def test_a_teacher_of_another_name_has_its_own(go: Go) -> None:
    run = go(
        {
            "models.teacher": GONE,
            "models.large": {"use": "mlp", "width": 16, "depth": 1, "train": {"epochs": 1}},
            "objective.soft.inputs": {"teacher": "large.logits"},
        }
    )
    results = run.results
    assert list(results["models"]) == ["large", "control", "student"]
    assert {one["b"] for one in results["comparisons"]} == {"control", "large"}
    assert results["models"]["student"]["metrics"]["teacher_agreement"]["value"] > 0


def test_a_teacher_from_the_checkpoint_of_a_run(whole: Run, go: Go, jobs: list[Any]) -> None:
    file = whole.path / "models/teacher/model.safetensors"
    recipe = changed({"models.teacher": {"use": "mlp", "width": 16, "depth": 1, "checkpoint": str(file)}})
    run = Run(limbeck.run(recipe, output=whole.path.parent / "from_checkpoint"))
    assert "teacher" not in [job.stage for job, _ in jobs]
    assert run.results["models"]["teacher"]["metrics"] == whole.results["models"]["teacher"]["metrics"]


def test_a_teacher_from_a_run_and_again_from_that_run(whole: Run, jobs: list[Any]) -> None:
    first = Run(
        limbeck.run(
            changed({"models.teacher": {"run": str(whole.path), "model": "teacher"}}),
            output=whole.path.parent / "from_run",
        )
    )
    assert "teacher" not in [job.stage for job, _ in jobs]
    assert first.results["models"]["teacher"]["metrics"] == whole.results["models"]["teacher"]["metrics"]
    second = Run(
        limbeck.run(
            changed({"models.teacher": {"run": str(first.path), "model": "teacher"}}),
            output=whole.path.parent / "from_run_again",
        )
    )
    assert all(torch.equal(value, second.weights("teacher")[key]) for key, value in whole.weights("teacher").items())


def test_born_again(whole: Run, go: Go) -> None:
    recipe = changed({"models.teacher": {"run": str(whole.path)}})
    run = Run(limbeck.run(recipe, output=whole.path.parent / "born_again"))
    assert run.accuracy("teacher") == whole.accuracy("student")


def test_a_last_stage_on_hard_labels(go: Go, jobs: list[tuple[Job, Any]]) -> None:
    run = go({"train.finetune": {"epochs": 2, "learning_rate": 1e-4}})
    last = {job.stage: (job, before) for job, before in jobs if job.stage.endswith("finetune")}
    assert set(last) == {"control_finetune", "student_finetune"}
    assert {job.total for job, _ in last.values()} == {44}
    assert {job.settings.learning_rate for job, _ in last.values()} == {1e-4}
    for job, _ in last.values():
        assert all(batch["labelled"].all() for batch in job.batches.iterate(0, 3))
    assert {name for event in run.taught("student_finetune") for name in event["terms"]} == {"hard"}
    after = run.weights("student")
    assert not torch.equal(last["student_finetune"][1]["net.head.weight"], after["net.head.weight"])


def test_the_weight_of_a_term_follows_its_schedule(go: Go, jobs: list[tuple[Job, Any]]) -> None:
    go({"objective.soft.weight": {"use": "linear", "start": 1.0, "end": 0.0, "steps": 11}})
    (student,) = [job for job, _ in jobs if job.stage == "student"]
    assert float(student.distiller.terms["soft"].weight) == 0
    assert float(student.distiller.terms["hard"].weight) == 0.5


def test_best_weights_are_chosen_on_validation_rows_that_are_counted(go: Go) -> None:
    run = go({"train.select": "best", "train.epochs": 2})
    assert run.results["label_budget"] == {"training": 100, "validation": 270, "unlabelled": 1068}


# Real objects.


def test_models_and_data_given_as_objects(tmp_path: Path, go: Go) -> None:
    torch.manual_seed(0)
    teacher, student = nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    before = copy.deepcopy(teacher.state_dict()), copy.deepcopy(student.state_dict())
    images, labels = torch.rand(200, 1, 8, 8), torch.arange(200) % 4
    train, test = TensorDataset(images[:140], labels[:140]), TensorDataset(images[140:], labels[140:])
    recipe = changed({"data": {"labels": 40}, "models": {}, "train.batch_size": 20, "export": GONE})
    given = {"teacher": teacher, "student": student}
    run = Run(limbeck.run(recipe, models=given, data=(train, test), output=tmp_path / "runs/one"))
    assert run.results["test_rows"] == 60
    assert run.results["classes"] == ["0", "1", "2", "3"]
    for module, kept in zip((teacher, student), before, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in teacher.parameters())
    assert torch.equal(run.weights("teacher")["1.weight"], before[0]["1.weight"])
    assert not torch.equal(run.weights("student")["1.weight"], before[1]["1.weight"])
    written = yaml.safe_load((run.path / "recipe.yaml").read_text(encoding="utf-8"))
    assert written["data"]["use"] == "object"
    assert written["models"]["teacher"]["object"] == "teacher"


def linear(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))


class Words(nn.Module):
    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": images.flatten(1)[:, :10]}


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"teacher": linear(7)}, r"models.teacher gives \[1, 7\]"),
        ({"student": linear(7)}, r"models.student gives \[1, 7\]"),
        ({"teacher": nn.Linear(63, 10)}, "models.teacher cannot take images of 8×8"),
        ({"teacher": Words()}, "models.teacher gives dict"),
        ({"student": nn.Sequential(nn.Flatten(), linear(10)).requires_grad_(False)}, "no parameter that requires grad"),
        ({"techer": linear(10)}, "no term reads it. Did you mean 'teacher'"),
        ({"teacher": "resnet"}, "give a torch module"),
        ({"teacher": nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 10))}, None),
    ],
    ids=str,
)
def test_objects_that_do_not_fit_are_refused(
    tmp_path: Path, no_training: None, monkeypatch: pytest.MonkeyPatch, models: dict[str, Any], message: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    if message is None:
        with pytest.raises(AssertionError, match="training has begun"):
            limbeck.run(SMALL, models=models)
        return
    with pytest.raises(LimbeckError, match=message):
        limbeck.run(SMALL, models=models)
    assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_train_is_refused(
    tmp_path: Path, no_training: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row in a micro-batch is too few for batch normalization, which eval mode does not show."""
    monkeypatch.chdir(tmp_path)
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    recipe = changed({"train.batch_size": 64, "train.accumulate": 64})
    with pytest.raises(
        RecipeError, match="the student cannot train: ValueError: Expected more than 1 value per channel"
    ):
        limbeck.run(recipe, models={"student": student})
    assert not list(tmp_path.iterdir())
