"""Adapters of students of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import limbeck
from limbeck.errors import RecipeError
from runs.finished import Run
from tasks.small_texts import recipe

SHRUNK = {"shrink": "teacher", "layers": 1}
LAYER = "bert.encoder.layer"


@pytest.fixture(autouse=True)
def _kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def short(folder: Path, **student: Any) -> dict[str, Any]:
    made = recipe(folder, **student)
    made["train"]["epochs"] = made["models"]["teacher"]["train"]["epochs"] = 1
    made["export"] = {"formats": ["onnx"]}
    return made


@pytest.mark.parametrize("mode", ["frozen", "tied"])
@pytest.mark.parametrize("module", ["classifier", "bert.embeddings"])
def test_a_shrunk_student_shares_modules_of_its_teacher(module: str, mode: str, tmp_path: Path) -> None:
    share = {"modules": {module: module}, "teacher": "teacher", "mode": mode}
    run = Run(limbeck.run(short(tmp_path, **SHRUNK, share=share), output=tmp_path / "run"))
    teacher, student, control = (run.weights(name) for name in ("teacher", "student", "control"))
    assert student.keys() == control.keys()
    for name, value in student.items():
        # A teacher that does not learn is shared as it is, in both modes.
        same = name.startswith(f"{module}.")
        assert same == torch.equal(value, teacher[name.replace(f"{LAYER}.0.", f"{LAYER}.1.")]) or "bias" in name
    assert any(not torch.equal(value, teacher[name]) for name, value in control.items() if name.startswith(module))
    assert run.results["export"]["max_difference"] < 1e-5


def test_modules_of_other_sizes_are_not_shared(tmp_path: Path, no_training: None) -> None:
    share = {"modules": {"head": "classifier"}}
    with pytest.raises(RecipeError, match=r"models.student.share: .*only equal modules can be shared"):
        limbeck.run(short(tmp_path, use="bilstm", share=share), output=tmp_path / "run")


@pytest.mark.parametrize(
    "student",
    [
        {**SHRUNK, "exits": {"early": f"{LAYER}.0"}, "features": f"{LAYER}.0"},
        {"use": "bilstm", "exits": {"early": "dropout"}, "features": "hidden"},
        {**SHRUNK, "reuse": {"student_features": f"{LAYER}.0", "teacher_features": f"{LAYER}.1"}},
        {"use": "bilstm", "reuse": {"student_features": "hidden", "teacher_features": "bert.pooler"}},
    ],
    ids=["exits of a BERT", "exits of a BiLSTM", "classifier for a BERT", "classifier for a BiLSTM"],
)
def test_convolutions_on_maps_are_for_images(student: dict[str, Any], tmp_path: Path, no_training: None) -> None:
    made = short(tmp_path, **student)
    if "reuse" in student:
        inputs = {"student": "student.projected", "teacher": "teacher.map"}
        made["objective"] = {"states": {"loss": {"use": "hint_mse", "project": False}, "inputs": inputs}}
        made["models"]["teacher"]["taps"] = {"map": f"{LAYER}.1"}
    else:
        made["objective"] = {"own": {"terms": "own_teacher"}}
    adapter = "reuse" if "reuse" in student else "exits"
    with pytest.raises(RecipeError, match=rf"^models.student.{adapter}: its layers are convolutions on maps of images"):
        limbeck.run(made, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
