"""Two processes, on gloo."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file

from launches import completed, launched, limbeck, started_by_torchrun
from limbeck import api
from limbeck.errors import RunError
from resume.recipes import dropout
from training.learning import learned, learning_job
from training.toys import settings


def recipe(**train: Any) -> dict[str, Any]:
    """Without dropout and batch statistics, whose random numbers and rows are each process's own."""
    content = dropout()
    for model in content["models"].values():
        model["dropout"] = 0.0
    content["train"].update({"select": "last", **train})
    return {**content, "seeds": 1}


def run(folder: Path, name: str, content: dict[str, Any], processes: int, start: Callable[..., Any] = limbeck) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    done = start("run", "recipe.yaml", "--output", name, processes=processes, folder=folder)
    completed(done)
    assert (folder / name / "README.md").exists(), done.stderr
    return folder / name


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "events.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same recipe by two processes and by one."""
    folder = tmp_path_factory.mktemp("launch")
    starts = {2: started_by_torchrun, 1: limbeck}
    return [run(folder / str(processes), "run", recipe(), processes, start) for processes, start in starts.items()]


@pytest.mark.slow
def test_two_processes_write_one_run_with_the_weights_of_one_process(pair):
    two, _ = pair
    assert json.loads((two / "environment.json").read_text(encoding="utf-8"))["processes"] == 2
    assert (two / "report.html").exists()
    for name in ("teacher", "control", "student"):
        weights = [load_file(path / "models" / name / "model.safetensors") for path in pair]
        torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)
    assert not list(two.parent.rglob(".*.tmp"))


@pytest.mark.slow
def test_the_log_has_the_losses_of_the_whole_batch(pair):
    two, one = map(events, pair)
    assert [(e["stage"], e["step"], e["epoch"]) for e in two] == [(e["stage"], e["step"], e["epoch"]) for e in one]
    for mine, other in zip(two, one, strict=True):
        if "loss" in mine:
            assert mine["loss"] == pytest.approx(other["loss"], abs=1e-4)
            assert mine["terms"] == pytest.approx(other["terms"], abs=1e-4)
        else:
            assert mine["validation"] == pytest.approx(other["validation"], abs=0.02)


@pytest.mark.slow
def test_one_process_does_not_go_on_with_the_run_of_two(pair):
    two, _ = pair
    refused = limbeck("resume", "run", folder=two.parent)
    assert refused.returncode == 2
    assert refused.stderr.strip().splitlines()[-1].startswith("limbeck: this run began with processes 2, here it is 1")
    accepted = limbeck("resume", "run", "--inexact", folder=two.parent)
    assert accepted.returncode == 0, accepted.stderr


@pytest.mark.slow
def test_batch_statistics_micro_batches_and_the_best_epoch(tmp_path):
    content = recipe(select="best", accumulate=2, precision="auto", finetune={"epochs": 1}, log_every=1)
    content["models"]["student"] = {"use": "resnet", "width": 2}
    path = run(tmp_path, "run", content, 2)
    assert {e["stage"] for e in events(path)} == {
        "teacher",
        "control",
        "control_finetune",
        "student",
        "student_finetune",
    }
    again = limbeck("resume", "run", processes=2, folder=tmp_path)
    completed(again)


@pytest.mark.slow
def test_a_run_of_two_processes_that_is_refused(pair):
    two, _ = pair
    again = limbeck("run", "recipe.yaml", "--output", "run", processes=2, folder=two.parent)
    assert again.returncode != 0
    assert "run is there already; choose another --output" in again.stderr


@pytest.mark.slow
def test_losses_learn_the_same_on_both_processes_from_the_rows_of_the_main_one(tmp_path):
    script = Path(__file__).with_name("learning.py")
    program = (script.read_text(encoding="utf-8"), [str(script), str(tmp_path)], {})
    completed(launched(program, processes=2, folder=tmp_path))
    main, second = (load_file(tmp_path / f"{rank}-of-2.safetensors") for rank in (0, 1))
    assert all(torch.equal(value, second[name]) for name, value in main.items())
    # What a single process learns from the same share of the rows.
    alone = learned(learning_job(settings(), rank=0, world=2), Accelerator(cpu=True))
    torch.testing.assert_close(main, alone)
    other = learned(learning_job(settings(), rank=1, world=2), Accelerator(cpu=True))
    assert not torch.equal(main["overhaul.margin"], other["overhaul.margin"])


def test_processes_that_do_not_find_each_other(tmp_path, monkeypatch):
    """Two that took themselves for the only one would write into one folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match=r"one of 2 processes .* trains with 1; .* set ACCELERATE_USE_CPU=true"):
        api.run(recipe(), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_read_a_cache_as_they_would_ask_the_teacher(tmp_path):
    """In micro-batches, with augmentations that repeat: each process reads the outputs for its own rows."""
    content = {**recipe(accumulate=2), "cache": {"views": 2}}
    live = {**content, "cache": {"views": 2, "teachers": []}}
    cached = run(tmp_path / "cached", "run", content, 2)
    assert list((tmp_path / "cached" / ".caches").glob("*/shards/*.bin"))
    alone = run(tmp_path / "live", "run", live, 2)
    assert not (tmp_path / "live" / ".caches").exists()
    for name in ("teacher", "control", "student"):
        one, other = (load_file(path / "models" / name / "model.safetensors") for path in (cached, alone))
        torch.testing.assert_close(one, other, rtol=0, atol=0)
