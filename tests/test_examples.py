"""The code that the README and the examples show does what it says."""

from __future__ import annotations

import importlib
import re
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parent.parent


def test_the_loop_of_the_readme_moves_the_student_towards_its_teacher() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    torch.manual_seed(0)
    teacher, student = nn.Linear(8, 3), nn.Linear(8, 3)
    inputs = torch.randn(256, 8)
    target = teacher(inputs).argmax(1)
    batch = {"inputs": inputs, "target": target}

    def distance() -> float:
        with torch.no_grad():
            return (student(inputs).softmax(1) - teacher(inputs).softmax(1)).abs().mean().item()

    before = distance()
    exec(code, {"teacher": teacher, "student": student, "batch": batch, "loader": [batch] * 300})
    assert distance() < 0.5 * before


def test_the_plain_loop_learns_digits(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "plain_loop.py"), run_name="__main__")
    teacher, student = map(float, re.findall(r"0\.\d+", capsys.readouterr().out))
    # A tenth would be chance.
    assert teacher > 0.85
    assert student > 0.8


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning", "ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*log_every_n_steps")
def test_the_four_loops_over_text_give_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    text = importlib.import_module("tiny_text").Text
    losses = {
        loop: importlib.import_module(f"text_{loop}").train(text())
        for loop in ("plain", "accelerate", "lightning", "trainer")
    }
    plain = losses.pop("plain")
    assert len(plain) == 12
    assert sum(plain[-4:]) < 0.95 * sum(plain[:4])
    for loop, found in losses.items():
        assert found == pytest.approx(plain, abs=1e-5), loop
