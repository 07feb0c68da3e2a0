"""Students with adapters: what trains, what is evaluated and what is shipped."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import limbeck
from limbeck.errors import LimbeckError, RecipeError
from limbeck.export import Session
from limbeck.models import ResNet, WithExits
from limbeck.recipes.model_sources.from_run import load_run_model
from limbeck.runs import plan
from limbeck.runs.models import Models
from limbeck.training.loop import Job
from recipes.small import GONE, changed, parse, resolve
from runs.finished import Go, Run, digits
from tasks.whole_outputs import outputs_and_labels

NET = {"use": "resnet", "width": 4, "depth": 1}
EXITS = {**NET, "exits": {"early": "stage1", "late": "stage2"}, "features": "stage3"}
OWN = {
    "models": {"student": EXITS},
    "objective": {"own": {"terms": "own_teacher", "alpha": 0.4, "where": "batch.labelled"}},
}
SAME = {"use": "mlp", "width": 8, "depth": 1}
SIMKD = {
    "models.teacher": {**NET, "width": 6, "train": {"epochs": 1}, "taps": {"map": "stage3"}},
    "models.student": {**NET, "reuse": {"student_features": "stage3", "teacher_features": "stage3"}},
    "objective": {
        "map": {
            "loss": {"use": "hint_mse", "project": False},
            "inputs": {"student": "student.projected", "teacher": "teacher.map"},
        }
    },
}


def own_teacher(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return {**copy.deepcopy(OWN), **(changes or {})}


def simkd(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return {**copy.deepcopy(SIMKD), **(changes or {})}


def parameters(run: Run, name: str) -> int:
    found: int = run.results["models"][name]["cost"]["parameters"]
    return found


def stored(run: Run, name: str) -> nn.Module:
    """A shipped model, built again from its folder."""
    return load_run_model(run.path / "models" / name, digits(labels=100), "models.x").eval()


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    task = digits(labels=100)
    outputs, labels = outputs_and_labels(task, lambda batch: {"logits": model(batch["inputs"])}, task.test)
    return float((outputs["logits"].argmax(1) == labels["target"]).mean())


@pytest.fixture(scope="module")
def own(go: Go) -> Run:
    return go(own_teacher({"export": {"exits": ["early"]}}))


def test_every_exit_is_measured_and_the_network_is_shipped_without_them(own: Run) -> None:
    results = own.results
    assert list(results["models"]) == ["control", "student", "student_early", "student_late", "exported"]
    assert results["teachers"] == []
    assert parameters(own, "student") == parameters(own, "control")
    assert parameters(own, "student_early") < parameters(own, "student_late") < parameters(own, "student")
    assert own.weights("student").keys() == own.weights("control").keys()
    assert [event["validation"] for event in own.events if event["stage"] == "student" and "validation" in event]


def test_every_exit_comes_back_from_its_folder(own: Run, go: Go) -> None:
    for name in ("student", "student_early", "student_late"):
        assert accuracy(stored(own, name)) == pytest.approx(own.accuracy(name))
    run = go({"models.teacher": {"run": str(own.path), "model": "student_late"}})
    assert run.accuracy("teacher") == own.accuracy("student_late")


def test_an_exit_that_is_asked_for_is_exported(own: Run) -> None:
    exported = own.results["export"]
    assert sorted(path.name for path in (own.path / "export").iterdir()) == ["student.onnx", "student_early.onnx"]
    assert exported["exits"].keys() == {"early"}
    assert exported["exits"]["early"]["max_difference"] <= 1e-4
    images = digits(labels=100).sample(8)["inputs"]
    found = Session(own.path / exported["exits"]["early"]["file"])(images)["logits"]
    np.testing.assert_allclose(found, stored(own, "student_early")(images).detach().numpy(), atol=1e-4)
    assert exported["exits"]["early"]["bytes"] < exported["bytes"]


def test_the_control_is_the_plain_network(go: Go, jobs: list[tuple[Job, dict[str, torch.Tensor]]]) -> None:
    go(own_teacher({"train.seed": 5}))
    (control, plain), (student, adapter) = (
        next((job, before) for job, before in jobs if job.stage == stage) for stage in ("control", "student")
    )
    assert isinstance(student.learners["student"], WithExits)
    assert not isinstance(control.learners["student"], WithExits)
    assert all(torch.equal(value, adapter[name]) for name, value in plain.items())
    assert {name: float(term.weight) for name, term in control.distiller.terms.items()} == {"deepest": 1.0}
    weights = {name: round(float(term.weight), 6) for name, term in student.distiller.terms.items()}
    assert weights == {
        "deepest": 1.0,
        **{f"{exit_}_{part}": w for exit_ in ("early", "late") for part, w in (("hard", 0.6), ("soft", 0.4))},
        **{f"{exit_}_features": 0.03 for exit_ in ("early", "late")},
    }
    assert control.total == student.total


def test_the_exits_of_a_seed_begin_alike_and_those_of_another_do_not() -> None:
    recipe, task = parse(own_teacher()), digits(labels=100)
    training = plan.student(recipe, task)
    heads = []
    for seed in (0, 0, 1):
        torch.rand(seed + 1)
        student = Models(recipe.models, task, {}).learners(training, seed, {})["student"]
        heads.append(student.state_dict()["_ends._early.head.weight"])
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_taps_and_other_terms_go_with_exits(go: Go) -> None:
    changes = {
        "models": {"student": {**EXITS, "taps": {"stem": "stem"}}, "peer": {**NET, "train": "together"}},
        "objective.peer_hard": {"loss": "cross_entropy", "inputs": {"student": "peer.logits"}},
        "objective.peer_soft": {"loss": "kl_divergence", "inputs": {"teacher": "peer.logits"}},
        "objective.stem": {
            "loss": "attention_transfer",
            "inputs": {"student": "student.stem", "teacher": "student.features"},
        },
    }
    run = go(own_teacher(changes))
    assert {"student_early", "peer"} <= run.results["models"].keys()
    assert {"own", "terms"}.isdisjoint(run.taught("student")[0]["terms"])
    assert run.taught("student")[0]["terms"]["stem"] > 0


def test_a_mean_teacher_of_a_student_with_exits(go: Go) -> None:
    changes = {
        "models": {"student": EXITS, "mean": {"ema": "student", "decay": 0.9}},
        "objective.mean": {"loss": "kl_divergence", "inputs": {"teacher": "mean.logits"}},
    }
    run = go(own_teacher(changes))
    assert {"mean", "student_early"} <= run.results["models"].keys()
    assert run.weights("mean").keys() == run.weights("student").keys()
    assert accuracy(stored(run, "mean")) == pytest.approx(run.accuracy("mean"))


def test_a_module_given_in_python_gets_exits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNet(channels=1, classes=10, size=(8, 8), width=4)
    recipe = changed(own_teacher({"models": {"student": {"exits": {"early": "stage1"}, "features": "stage3"}}}))
    recipe["export"] = {"exits": ["early"]}
    run = Run(limbeck.run(recipe, models={"student": network}, output=tmp_path / "run"))
    assert "student_early" in run.results["models"]
    config = json.loads((run.path / "models/student_early/config.json").read_text(encoding="utf-8"))
    assert config["model"] is None


# Shared modules.


def test_a_frozen_head_stays_the_teachers(go: Go) -> None:
    share = {"share": {"modules": {"head": "head"}}}
    run = go({"models.teacher.width": 8, "models.student": {**SAME, **share}})
    own, teacher, control = (run.weights(name) for name in ("student", "teacher", "control"))
    assert torch.equal(own["net.head.weight"], teacher["net.head.weight"])
    assert not torch.equal(control["net.head.weight"], teacher["net.head.weight"])
    assert not torch.equal(own["net.layers.0.0.weight"], teacher["net.layers.0.0.weight"])
    assert accuracy(stored(run, "student")) == pytest.approx(run.accuracy("student"))
    assert parameters(run, "student") == parameters(run, "control") == 75 * 8 + 10


@pytest.mark.parametrize("soft", [True, False], ids=["a teacher that is read", "one that nobody reads"])
def test_tied_to_a_teacher_it_moves_neither(go: Go, soft: bool) -> None:
    share = {"share": {"modules": {"head": "head"}, "mode": "tied"}}
    changes: dict[str, Any] = {"models.teacher.width": 8, "models.student": {**SAME, **share}, "seeds": 2}
    run = go(changes if soft else {**changes, "objective.soft": GONE})
    plain = go({"models.teacher.width": 8, "models.student": SAME})
    teacher = plain.weights("teacher")
    assert all(torch.equal(value, teacher[name]) for name, value in run.weights("teacher").items())
    assert torch.equal(run.weights("student")["net.head.weight"], teacher["net.head.weight"])
    # The control is that of the run without sharing.
    assert run.accuracy("control") != 0
    assert all(torch.equal(value, plain.weights("control")[name]) for name, value in run.weights("control").items())


def test_tied_to_a_peer_both_train_it_and_the_file_has_it_once(go: Go) -> None:
    run = go(
        {
            "models": {
                "student": {**SAME, "share": {"modules": {"head": "head"}, "teacher": "peer", "mode": "tied"}},
                "peer": {**SAME, "train": "together"},
            },
            "objective": {
                "hard": {"loss": "cross_entropy", "where": "batch.labelled"},
                "peer": {"loss": "cross_entropy", "where": "batch.labelled", "inputs": {"student": "peer.logits"}},
            },
            "data.validation": 0.0,
            "export": GONE,
            "seeds": 2,
        }
    )
    own, peer, control = (run.weights(name) for name in ("student", "peer", "control"))
    assert torch.equal(own["net.head.weight"], peer["net.head.weight"])
    assert not torch.equal(own["net.layers.0.0.weight"], peer["net.layers.0.0.weight"])
    assert not torch.equal(own["net.head.weight"], control["net.head.weight"])
    assert accuracy(stored(run, "peer")) == pytest.approx(
        run.results["models"]["peer"]["seeds"][0]["metrics"]["accuracy"]
    )
    weights = onnx.load(run.path / "export/student.onnx").graph.initializer
    assert sum(int(np.prod(one.dims)) for one in weights if len(one.dims) == 2) == 64 * 8 + 8 * 10
    assert parameters(run, "student") == parameters(run, "exported") == 75 * 8 + 10


# The teacher's classifier.


def test_a_reused_classifier_is_trained_shipped_and_taken_again(go: Go) -> None:
    run = go(simkd({"export": GONE, "train.finetune": {"epochs": 1}}))
    assert run.results["export"]["max_difference"] <= 1e-4
    plain = ResNet(channels=1, classes=10, size=(8, 8), width=4)
    assert parameters(run, "control") == sum(p.numel() for p in plain.parameters()) < parameters(run, "student")
    student, teacher = run.weights("student"), run.weights("teacher")
    (head,) = [name for name in student if name.endswith("head.weight")]
    assert torch.equal(student[head], teacher["net.head.weight"])
    assert accuracy(stored(run, "student")) == pytest.approx(run.accuracy("student"))
    again = go({"models.teacher": {"run": str(run.path), "model": "student"}})
    assert again.accuracy("teacher") == run.accuracy("student")
    config = json.loads((run.path / "models/student/config.json").read_text(encoding="utf-8"))
    assert config["model"]["reuse"]["teacher"]["use"] == "resnet"


# What cannot be right.


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"models.teacher.exits": {"a": "stage1"}}, "unsupported", "models.teacher.exits"),
        ({"models.student": {**NET, "exits": {"a": "stage1"}}}, "missing", "models.student.features"),
        ({"models.student": {**NET, "exits": "stage1", "features": "stage3"}}, "wrong_type", "models.student.exits"),
        ({"models.student.features": "stage3"}, "unknown_name", "models.student.features"),
        ({"models.student": {**EXITS, "share": {"modules": {"head": "head"}}}}, "conflict", "models.student"),
        ({"models.student": {**NET, "share": "head"}}, "wrong_type", "models.student.share"),
        ({"models.student": {**NET, "share": {"modules": {}}}}, "missing", "models.student.share.modules"),
        (
            {"models.student": {**NET, "share": {"modules": {"a": "a"}, "mode": "copied"}}},
            "out_of_range",
            "models.student.share.mode",
        ),
        (
            {"models.student": {**NET, "share": {"modules": {"a": "a"}, "teacher": "student"}}},
            "out_of_range",
            "models.student.share.teacher",
        ),
        ({"models.student": {**NET, "reuse": "stage3"}}, "wrong_type", "models.student.reuse"),
        ({"models.student": {**NET, "reuse": {}}}, "missing", "models.student.reuse.student_features"),
        ({"objective.own": {"terms": "own_techer"}}, "unknown_name", "objective.own.terms"),
        ({"objective.own": {"terms": "own_teacher"}}, "missing", "models.student.exits"),
        (own_teacher({"objective.own.alpha": 2.0}), "out_of_range", "objective.own.alpha"),
        (own_teacher({"objective.own.beta": 2.0}), "unknown_name", "objective.own.beta"),
        (own_teacher({"objective.deepest": {"loss": "cross_entropy"}}), "duplicate", "objective.own"),
        (own_teacher({"export": {"exits": ["earl"]}}), "unknown_name", "export.exits"),
        ({"export": {"exits": ["early"]}}, "unknown_name", "export.exits"),
        (own_teacher({"train.finetune": {"epochs": 1}}), "conflict", "train.finetune"),
    ],
)
def test_sections_that_cannot_be_right_with_its_place(changes: dict[str, Any], code: str, path: str) -> None:
    with pytest.raises(RecipeError) as refused:
        resolve(changed(changes), name="x")
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models.teacher.exits": {"a": "stage1"}}, "models.teacher.exits: exits, share, reuse are for the student"),
        (
            {"models.student": {**EXITS, "share": {"modules": {"head": "head"}}}},
            "models.student has exits and share; a student takes one of them",
        ),
        ({"models.student": {**NET, "share": {"modules": {}}}}, "share.modules names no module"),
        ({"models.student": {**NET, "share": {"modules": {"a": "a"}, "teacher": "student"}}}, "is the student itself"),
        (
            {"objective.own": {"terms": "own_techer"}},
            "objective.own: no terms 'own_techer'. Did you mean 'own_teacher'",
        ),
        (
            {"objective.own": {"terms": "own_teacher"}},
            "objective.own: own_teacher teaches the exits of the student, and",
        ),
        (own_teacher({"objective.own.alpha": 2.0}), r"objective.own: exit_terms: alpha is 2\.0"),
        (own_teacher({"objective.deepest": {"loss": "cross_entropy"}}), "the objective has another term 'deepest'"),
        (own_teacher({"export": {"exits": ["earl"]}}), "no exit 'earl'. Did you mean 'early'"),
        (
            own_teacher({"train.finetune": {"epochs": 1}}),
            "train.finetune: the last stage trains the student alone, without its",
        ),
    ],
)
def test_sections_that_cannot_be_right(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve(changed(changes), name="x")


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        (
            own_teacher({"models.student": {**EXITS, "exits": {"early": "stag1"}}}),
            "unknown_name",
            "models.student.exits.early",
        ),
        (own_teacher({"models.student": {**EXITS, "features": "head"}}), "wrong_shape", "models.student.features"),
        (
            {"models.student": {**SAME, "share": {"modules": {"head": "head"}}}},
            "mismatch",
            "models.student.share.modules",
        ),
        (
            {"models.student": {**SAME, "share": {"modules": {"haed": "head"}}}},
            "unknown_name",
            "models.student.share.modules",
        ),
        (
            {"models.student": {**SAME, "share": {"modules": {"head": "head"}, "teacher": "large"}}},
            "unknown_name",
            "models.student.share",
        ),
        (
            {
                "models.both": {"ensemble": ["teacher"]},
                "models.student": {**SAME, "share": {"modules": {"head": "head"}, "teacher": "both"}},
            },
            "unsupported",
            "models.student.share.teacher",
        ),
        (simkd({"models.student.taps": {"a": "stage1"}}), "conflict", "models.student.taps"),
        (
            simkd({"models.student.reuse.teacher_features": "head"}),
            "wrong_shape",
            "models.student.reuse.teacher_features",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written_with_its_place(
    tmp_path: Any, no_training: None, changes: dict[str, Any], code: str, path: str
) -> None:
    with pytest.raises(LimbeckError) as refused:
        limbeck.run(changed(changes), output=tmp_path / "run")
    assert (refused.value.code, refused.value.path) == (code, path), refused.value
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            own_teacher({"models.student": {**EXITS, "features": "head"}}),
            r"models.student.exits: with_exits: 'features' reads",
        ),
        (
            {"models.student": {**SAME, "share": {"modules": {"head": "head"}}}},
            "models.student.share: share_: .* differ",
        ),
        (
            {
                "models.both": {"ensemble": ["teacher"]},
                "models.student": {**SAME, "share": {"modules": {"head": "head"}, "teacher": "both"}},
            },
            "models.student.share.teacher: 'both' has no weights of its own",
        ),
        (simkd({"models.student.taps": {"a": "stage1"}}), "models.student.taps: a student that reuses a classifier"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Any, no_training: None, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(LimbeckError, match=message):
        limbeck.run(changed(changes), output=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_resolved_recipe_resolves_to_itself() -> None:
    for changes in (own_teacher(), simkd(), {"models.student": {**NET, "share": {"modules": {"head": "head"}}}}):
        once = resolve(changed(changes), name="x")
        assert resolve(once, name="x") == once
