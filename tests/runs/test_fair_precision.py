"""The control computes in the precision of the student, whichever is measured faster for it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import limbeck
from limbeck.recipes.read import read_recipe
from limbeck.runs import dry_run, stages
from recipes.small import changed, resolve
from runs.finished import Run


@pytest.mark.parametrize("faster", [True, False])
def test_control_and_student_compute_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: bool) -> None:
    seen: dict[str, torch.dtype] = {}
    fit = stages.fit

    def watched(job: Any, **given: Any) -> Any:
        seen[job.stage] = given["precision"]
        return fit(job, **given)

    def measured(distiller: Any, *_: Any, **__: Any) -> float:
        return 2.0 if bool(distiller.teachers) == faster else 0.5

    monkeypatch.setattr(stages, "fit", watched)
    monkeypatch.setattr(stages, "measure_bfloat16", measured)
    monkeypatch.setattr(stages, "supports_bfloat16", lambda device: True)
    recipe = changed(
        {"train.precision": "auto", "train.finetune": {"epochs": 1}, "models.teacher.train.precision": "auto"}
    )
    limbeck.run(recipe, output=tmp_path / "run")
    students = {name: dtype for name, dtype in seen.items() if name != "teacher"}
    expected = torch.bfloat16 if faster else torch.float32
    assert students == dict.fromkeys(("control", "student", "control_finetune", "student_finetune"), expected)
    assert seen["teacher"] == (torch.float32 if faster else torch.bfloat16)


def test_another_run_of_the_recipe_takes_what_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "supports_bfloat16", lambda device: True)
    monkeypatch.setattr(dry_run, "supports_bfloat16", lambda device: True)
    ratios = iter([2.0, 0.5])
    monkeypatch.setattr(stages, "measure_bfloat16", lambda *_, **__: next(ratios))
    auto = {"train.precision": "auto", "models.teacher.train.precision": "auto"}
    first = Run(limbeck.run(changed({**auto, "train.finetune": {"epochs": 1}}), output=tmp_path / "here" / "run"))
    written = read_recipe(first.path / "recipe.yaml")[1]
    assert written["models"]["teacher"]["train"]["precision"] == "bfloat16"
    assert written["train"]["precision"] == "float32"
    assert resolve(written, name=written["name"]) == written
    # Nothing is measured: there is no third ratio.
    again = Run(limbeck.run(first.path / "recipe.yaml", output=tmp_path / "there" / "run"))
    for name in ("teacher", "control", "student"):
        one, other = first.weights(name), again.weights(name)
        assert all(torch.equal(one[key], other[key]) for key in one)
