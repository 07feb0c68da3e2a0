"""Trainings in which a model or term receives no gradient or label are rejected before they start."""

from __future__ import annotations

from typing import Any

import pytest

from recipes.shell import Shell
from recipes.small import GONE, changed, resolve
from runs.finished import Go

HARD = {"loss": "cross_entropy", "where": "batch.labelled"}
SOFT = {"loss": "kl_divergence"}
PEER = {"use": "mlp", "width": 9, "depth": 1, "train": "together"}
NET = {"use": "resnet", "width": 2, "depth": 1}
EXITS = {**NET, "exits": {"early": "stage1", "late": "stage2"}, "features": "stage3"}
NO_LABELS = {"data.labels": 0, "control": False}
REUSE = {"student_features": "stage3", "teacher_features": "stage3"}


def of(address: str) -> dict[str, Any]:
    return {"inputs": {"student": address}}


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"objective.odd": {**HARD, **of("teacher.logits")}}, "no_effect", "objective.odd"),
        (
            {"objective": {"hard": HARD, "soft": {"mutual": ["student", "teacher"]}}},
            "no_effect",
            "objective.soft_teacher_from_student",
        ),
        ({"models.teacher": PEER}, "no_effect", "models.teacher"),
        (
            {"models.student": EXITS, "objective.own": {**HARD, **of("student.early.logits")}},
            "no_effect",
            "models.student.exits.late",
        ),
        (NO_LABELS, "missing", "objective.hard"),
        (
            {**NO_LABELS, "objective.hard": GONE, "objective.soft": {**SOFT, "where": "batch.labelled"}},
            "missing",
            "objective.soft",
        ),
        ({**NO_LABELS, "objective": {"soft": SOFT}, "models.teacher": {"ema": "student"}}, "missing", "data"),
        ({**NO_LABELS, "objective": {"soft": SOFT}, "models.teacher": {"teacher_free": {}}}, "missing", "data"),
        ({**NO_LABELS, "models.peer": PEER, "objective": {"soft": {"mutual": ["student", "peer"]}}}, "missing", "data"),
    ],
    ids=lambda part: str(part)[:60],
)
def test_what_would_be_in_vain_is_refused_with_its_place(
    shell: Shell, changes: dict[str, Any], code: str, path: str
) -> None:
    refusal = shell.refusal("run", shell.write(changed(changes)))
    assert (refusal.code, refusal.path) == (code, path), refusal.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective.odd": {**HARD, **of("teacher.logits")}}, "objective.odd reads ['batch.target', 'teacher.logits']"),
        ({"models.teacher": PEER}, "models.teacher learns here, but no term gives it a gradient"),
        (
            {"models.student": EXITS, "objective.own": {**HARD, **of("student.early.logits")}},
            "models.student.exits.late: no term reads it",
        ),
        (NO_LABELS, "the student: the term 'hard' reads batch.target"),
        ({**NO_LABELS, "objective": {"soft": SOFT}, "models.teacher": {"teacher_free": {}}}, "start to learn here"),
    ],
    ids=lambda part: str(part)[:60],
)
def test_what_would_be_in_vain_is_refused(shell: Shell, changes: dict[str, Any], message: str) -> None:
    assert message in shell.refused("run", shell.write(changed(changes)))


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"models.teacher": {"ensemble": ["a", "a"]}, "models.a": "mlp"}, "duplicate", "models.teacher.ensemble"),
        ({"models.student": EXITS, "models.student_late": NET}, "in_use", "models.student_late"),
        (
            {"models.student": {**NET, "reuse": REUSE}, "models.teacher": {**NET, "train": "together"}},
            "unsupported",
            "models.student.reuse.teacher",
        ),
        (
            {
                "models.student": {**NET, "share": {"modules": {"head": "head"}}},
                "models.teacher": {**NET, "train": "together"},
            },
            "unsupported",
            "models.student.share.teacher",
        ),
    ],
    ids=lambda part: str(part)[:60],
)
def test_sections_that_hinder_each_other_are_refused_with_its_place(
    shell: Shell, changes: dict[str, Any], code: str, path: str
) -> None:
    refusal = shell.refusal("run", shell.write(changed(changes)))
    assert (refusal.code, refusal.path) == (code, path), refusal.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models.teacher": {"ensemble": ["a", "a"]}, "models.a": "mlp"}, "names a member twice"),
        ({"models.student": EXITS, "models.student_late": NET}, "how the student's exit 'late' is called"),
        (
            {"models.student": {**NET, "reuse": REUSE}, "models.teacher": {**NET, "train": "together"}},
            "models.student.reuse.teacher: 'teacher' trains together with the student",
        ),
    ],
    ids=lambda part: str(part)[:60],
)
def test_sections_that_hinder_each_other_are_refused(shell: Shell, changes: dict[str, Any], message: str) -> None:
    assert message in shell.refused("run", shell.write(changed(changes)))


def test_what_is_shared_with_a_peer_may_be_tied() -> None:
    share = {"modules": {"head": "head"}, "mode": "tied"}
    changes = {"models.student": {**NET, "share": share}, "models.teacher": {**NET, "train": "together"}}
    assert resolve(changed(changes), name="x")["models"]["student"]["share"]["mode"] == "tied"


def test_a_term_of_weight_0_may_watch_a_teacher(go: Go) -> None:
    watch = {"loss": "cross_entropy", "weight": 0, **of("teacher.logits")}
    run = go({"objective.watch": watch, "train.seed": 71})
    assert all("watch" in event["terms"] for event in run.taught("student"))


def test_the_average_of_a_student_that_was_trained_before_may_teach_without_labels(go: Go, tmp_path: Any) -> None:
    first = go({"train.seed": 72})
    student = {
        "use": "mlp",
        "width": 8,
        "depth": 1,
        "checkpoint": str(first.path / "models/student/model.safetensors"),
    }
    changes = {"objective": {"soft": SOFT}, "models": {"student": student, "teacher": {"ema": "student"}}}
    run = go({**NO_LABELS, **changes, "train.seed": 73})
    assert run.results["label_budget"]["training"] == 0
