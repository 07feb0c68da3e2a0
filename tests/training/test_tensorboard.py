from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.training.tensorboard import write_tensorboard

EVENTS = [
    {"stage": "control", "seed": 0, "step": 10, "epoch": 0, "seconds": 0.1, "loss": 1.5, "terms": {"hard": 1.5}},
    {"stage": "control", "seed": 0, "step": 12, "epoch": 0, "seconds": 0.2, "validation": {"accuracy": 0.75}},
    {"stage": "student", "seed": 1, "step": 10, "epoch": 0, "seconds": 0.1, "loss": 2.5, "terms": {"soft": 5.0}},
    {
        "stage": "student",
        "seed": 1,
        "step": 20,
        "epoch": 1,
        "seconds": 0.3,
        "weights": {"soft": 0.5},
        "gradient_norms": {"soft": 0.25},
        "temperatures": {"soft": 8.0},
    },
]


def test_tensorboard_reads_back_what_the_log_says(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = tmp_path / "events.jsonl"
    log.write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    for _ in range(2):  # a second time replaces the first
        assert write_tensorboard(log, tmp_path / "tensorboard")
    found = {}
    for folder in sorted((tmp_path / "tensorboard").iterdir()):
        reader = accumulator.EventAccumulator(str(folder))
        reader.Reload()
        for tag in reader.Tags()["scalars"]:
            found[folder.name, tag] = [(one.step, one.value) for one in reader.Scalars(tag)]
    assert found == {
        ("control-seed0", "loss"): [(10, 1.5)],
        ("control-seed0", "terms/hard"): [(10, 1.5)],
        ("control-seed0", "validation/accuracy"): [(12, 0.75)],
        ("student-seed1", "loss"): [(10, 2.5)],
        ("student-seed1", "terms/soft"): [(10, 5.0)],
        ("student-seed1", "weights/soft"): [(20, 0.5)],
        ("student-seed1", "gradient_norms/soft"): [(20, 0.25)],
        ("student-seed1", "temperatures/soft"): [(20, 8.0)],
    }


def test_nothing_is_written_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.training.tensorboard.importlib.util.find_spec", lambda name: None)
    assert not write_tensorboard(tmp_path / "events.jsonl", tmp_path / "tensorboard")
    assert not (tmp_path / "tensorboard").exists()
