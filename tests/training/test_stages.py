"""Finished stages are taken from the store exactly where nothing that they read has changed."""

from __future__ import annotations

import copy
import json
import shutil
from typing import Any

import pytest

from resume.fork_server import Run, fork_server
from resume.recipes import dropout

ALL = ["teacher 0", "control 0", "student 0"]


def recipe() -> dict[str, Any]:
    return {**dropout(), "seeds": 1}


def changed(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(recipe())
    *parts, last = path.split(".")
    place = content
    for part in parts:
        place = place[part]
    place[last] = value
    return content


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, whose stages every test copies."""
    run = Run(tmp_path_factory.mktemp("finished"), recipe())
    fork_server()(run)
    assert run.trained() == ALL
    return run


@pytest.fixture
def second(finished, tmp_path):
    """Run another recipe beside the finished stages."""
    shutil.copytree(finished.parent / ".stages", tmp_path / ".stages")

    def second(content: dict[str, Any], **given: Any) -> Run:
        run = Run(tmp_path, content)
        fork_server()(run, **given)
        return run

    return second


@pytest.mark.parametrize(
    ("path", "value", "trained"),
    [
        ("name", "another", []),
        ("train.log_every", 1, []),
        ("train.keep_checkpoints", 5, []),
        ("train.checkpoint_every", 60, []),
        ("models.teacher.train.log_every", 1, []),
        ("measure.draws", 200, []),
        ("objective.soft.loss.temperature", 3.0, ["student 0"]),
        # The control's only term weighs 1 whatever its weight in the objective.
        ("objective.hard.weight", 0.4, ["student 0"]),
        ("models.student.width", 10, ["control 0", "student 0"]),
        ("train.learning_rate", 0.01, ["control 0", "student 0"]),
        ("data.labels", 50, ["control 0", "student 0"]),
        ("data.limit", 190, ["control 0", "student 0"]),
        ("models.teacher.width", 20, ["teacher 0", "student 0"]),
        ("models.teacher.train.epochs", 1, ["teacher 0", "student 0"]),
        ("seeds", 2, ["control 1", "student 1"]),
        ("train.finetune", {"epochs": 1}, ["control_finetune 0", "student_finetune 0"]),
        ("data.augment", None, ALL),
        ("data.split_seed", 1, ALL),
    ],
)
def test_what_a_change_trains_again(second, path, value, trained):
    assert sorted(second(changed(path, value)).trained()) == sorted(trained)


def test_a_second_run_is_the_same_run(second, finished):
    again = second(recipe())
    assert again.trained() == []
    assert again.models() == finished.models()
    assert again.results() == finished.results()
    assert (again.folder / "events.jsonl").read_bytes() == (finished.folder / "events.jsonl").read_bytes()


def test_fresh_trains_again(second, finished):
    again = second(recipe(), fresh=True)
    assert again.trained() == ALL
    assert again.models() == finished.models()
    assert again.stages().keys() == finished.stages().keys()


@pytest.mark.parametrize("how", ["flipped", "short", "gone", "no manifest"])
def test_a_damaged_stage_is_trained_again(second, finished, tmp_path, how):
    manifest = next(m for m in tmp_path.glob(".stages/*/stage.json") if json.loads(m.read_text())["name"] == "teacher")
    weights = manifest.with_name("student.safetensors")
    content = bytearray(weights.read_bytes())
    if how == "flipped":
        content[-1] ^= 1
        weights.write_bytes(content)
    elif how == "short":
        weights.write_bytes(content[:-1])
    elif how == "gone":
        weights.unlink()
    else:
        manifest.write_text("[]", encoding="utf-8")
    again = second(recipe())
    assert again.trained() == ["teacher 0"]
    assert again.models() == finished.models()
    assert [event["stage"] for event in again.events()] == [event["stage"] for event in finished.events()]


def test_another_plugin_shares_nothing(second, tmp_path):
    run = Run(tmp_path, recipe(), str(tmp_path / "plugin.py"))
    (tmp_path / "plugin.py").write_text("x = 1\n", encoding="utf-8")
    fork_server()(run)
    assert run.trained() == ALL
