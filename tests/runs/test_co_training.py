"""Models that train in the student's steps: settings of their own, and the short ways to write their terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from limbeck.recipes.co_training import parse_co_training
from limbeck.teachers import mutual_terms
from limbeck.training.loop import Job
from limbeck.training.settings import Settings
from recipes.shell import Shell
from recipes.small import changed, resolve
from runs.finished import Go

Jobs = list[tuple[Job, dict[str, torch.Tensor]]]

HARD = {"loss": "cross_entropy", "where": "batch.labelled"}


def peer(train: Any, width: int = 9) -> dict[str, Any]:
    return {"use": "mlp", "width": width, "depth": 1, "train": train}


OBJECTIVE = {"hard": {**HARD, "each": ["student", "peer"]}, "dml": {"mutual": ["student", "peer"]}}


def test_a_peer_with_an_optimizer_of_its_own(go: Go, jobs: Jobs) -> None:
    own = {"together": True, "optimizer": "sgd", "learning_rate": 0.1, "optimizer_options": {"momentum": 0.9}}
    run = go(
        {
            "models.peer": peer(own),
            "objective": OBJECTIVE,
            "train.seed": 51,
            "train.optimizer_options": {"betas": [0.8, 0.9]},
        }
    )
    (job,) = [job for job, _ in jobs if job.stage == "student"]
    assert job.own["peer"].optimizer == "sgd"
    assert job.own["peer"].learning_rate == 0.1
    assert dict(job.own["peer"].optimizer_options) == {"momentum": 0.9}
    assert job.own["peer"].epochs == job.settings.epochs
    assert int(job.distiller.step) == job.total
    assert set(run.results["models"]) == {"control", "student", "peer"}


def test_the_settings_of_a_peer_move_that_peer_alone(go: Go) -> None:
    """Without a term between them, the student learns as if the peer's optimizer were its own."""
    objective = {"hard": {**HARD, "each": ["student", "peer"]}}
    common = {"objective": objective, "train.seed": 52}
    plain = go({**common, "models.peer": peer("together")})
    frozen = go({**common, "models.peer": peer({"together": True, "learning_rate": 1e-12, "weight_decay": 0.0})})
    same = go({**common, "models.peer": peer({"together": True, "learning_rate": 2e-3})})
    for run in (frozen, same):
        weights = run.weights("student")
        assert all(torch.equal(value, weights[name]) for name, value in plain.weights("student").items())
    assert all(torch.equal(value, same.weights("peer")[name]) for name, value in plain.weights("peer").items())
    # Its rate, and not only its decay, is its own.
    moved = [(v - frozen.weights("peer")[n]).abs().max() for n, v in plain.weights("peer").items() if "net" in n]
    assert min(moved) > 1e-3


def test_what_a_peer_does_not_say_is_as_the_student_has_it() -> None:
    student = Settings(learning_rate=0.5, weight_decay=0.1, optimizer="adamw", optimizer_options={"eps": 1e-6})

    def settings(section: Any) -> Settings | None:
        return parse_co_training(section, "models.peer.train").settings(student)

    assert settings("together") is None
    assert settings({"together": True, "weight_decay": 0.0}) == replace(student, weight_decay=0.0)
    assert settings({"together": True, "optimizer": "sgd"}) == replace(student, optimizer="sgd", optimizer_options={})


def test_two_peers_with_the_same_settings_are_two() -> None:
    own = {"together": True, "learning_rate": 0.1}
    changes = {"models.peer": peer(own), "models.other": peer(own), "objective": OBJECTIVE}
    once = resolve(changed(changes), name="x")
    assert once["models"]["peer"]["train"] == own
    assert resolve(once, name="x") == once
    plain = resolve(changed({"models.peer": peer({"together": True})}), name="x")
    assert plain["models"]["peer"]["train"] == "together"


@pytest.mark.parametrize("learners", [["student", "a"], ["student", "a", "b"]], ids=len)
def test_mutual_is_what_mutual_terms_gives(learners: list[str]) -> None:
    dml = {"mutual": learners, "temperature": 2.0, "weight": 0.6, "where": "batch.labelled"}
    terms = resolve(changed({"objective": {"dml": dml}}), name="x")["objective"]
    expected = mutual_terms(learners, temperature=2.0, weight=0.6)
    assert terms.keys() == {f"dml_{name}" for name in expected}
    for name, term in expected.items():
        own = terms[f"dml_{name}"]
        assert own["inputs"] == dict(term.inputs)
        assert own["weight"] == pytest.approx(term.weight.item())
        assert own["where"] == "batch.labelled"
        assert own["loss"] == {"use": "kl_divergence", "temperature": 2.0, **_rest(own["loss"])}


def _rest(loss: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in loss.items() if key not in ("use", "temperature")}


def test_each_moves_every_address_at_the_student() -> None:
    hint = {
        "loss": "hint_mse",
        "inputs": {"student": "student.hint", "teacher": "teacher.hint"},
        "each": ["student", "peer"],
    }
    self_taught = {"loss": "kl_divergence", "inputs": {"teacher": "student.early"}, "each": ["peer"]}
    terms = resolve(changed({"objective": {"hint": hint, "self": self_taught}}), name="x")["objective"]
    assert terms["hint"]["inputs"] == {"student": "student.hint", "teacher": "teacher.hint"}
    assert terms["hint_peer"]["inputs"] == {"student": "peer.hint", "teacher": "teacher.hint"}
    assert terms["self_peer"]["inputs"] == {"student": "peer.logits", "teacher": "peer.early"}
    assert terms.keys() == {"hint", "hint_peer", "self_peer"}


def test_three_students_that_learn_from_each_other(go: Go) -> None:
    learners = ["student", "a", "b"]
    run = go(
        {
            "models.a": peer("together", 9),
            "models.b": peer("together", 10),
            "objective": {"hard": {**HARD, "each": learners}, "dml": {"mutual": learners}},
            "train.seed": 53,
        }
    )
    assert len(run.taught("student")[0]["terms"]) == 3 + 6
    assert {name for event in run.taught("control") for name in event["terms"]} == {"hard"}
    assert set(run.results["models"]) == {"control", "student", "a", "b"}


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"models.peer": peer({"together": False})}, "no_effect", "models.peer.train.together"),
        ({"models.peer": peer({"together": True, "epochs": 3})}, "unknown_name", "models.peer.train.epochs"),
        (
            {"models.peer": peer({"together": True, "learning_rat": 3})},
            "unknown_name",
            "models.peer.train.learning_rat",
        ),
        (
            {"models.peer": peer({"together": True, "learning_rate": 0}), "objective": OBJECTIVE},
            "out_of_range",
            "models.peer.train.learning_rate",
        ),
        (
            {"models.peer": peer({"together": True, "optimizer": "sdg"}), "objective": OBJECTIVE},
            "unknown_name",
            "models.peer.train.optimizer",
        ),
        ({"objective.dml": {"mutual": ["student"]}}, "too_few", "objective.dml.mutual"),
        ({"objective.dml": {"mutual": ["student", "student"]}}, "duplicate", "objective.dml.mutual"),
        (
            {"objective.dml": {"mutual": ["student", "peer"]}},
            "unknown_name",
            "objective.dml_student_from_peer.inputs.teacher",
        ),
        (
            {"objective.dml": {"mutual": ["student", "peer"], "temprature": 2}},
            "unknown_name",
            "objective.dml.temprature",
        ),
        ({"objective.hard.each": "peer"}, "wrong_type", "objective.hard.each"),
        ({"objective.hard.each": ["student", "peer"], "objective.hard_peer": HARD}, "duplicate", "objective.hard_peer"),
        (
            {"objective.hard": {"loss": "cros_entropy", "each": ["student", "peer"]}},
            "unknown_name",
            "objective.hard.loss",
        ),
    ],
    ids=lambda part: str(part)[:70],
)
def test_wrong_shorthand_is_one_line_with_its_place(
    shell: Shell, changes: dict[str, Any], code: str, path: str
) -> None:
    refusal = shell.refusal("run", shell.write(changed(changes)))
    assert (refusal.code, refusal.path) == (code, path), refusal.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models.peer": peer({"together": False})}, "models.peer.train.together is false"),
        ({"models.peer": peer({"together": True, "epochs": 3})}, "together takes no 'epochs'"),
        ({"models.peer": peer({"together": True, "optimizer": "sdg"}), "objective": OBJECTIVE}, "student 'peer'"),
        ({"objective.dml": {"mutual": ["student"]}}, "at least 2 learners"),
        ({"objective.dml": {"mutual": ["student", "peer"]}}, "no source 'peer'"),
        ({"objective.hard.each": ["student", "peer"], "objective.hard_peer": HARD}, "'hard_peer', which is there"),
    ],
    ids=lambda part: str(part)[:70],
)
def test_wrong_shorthand_is_one_line(shell: Shell, changes: dict[str, Any], message: str) -> None:
    assert message in shell.refused("run", shell.write(changed(changes)))
