"""What is said of the test rows is asked for once, and never taken for what something else says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limbeck.recipes.answers import Answers
from limbeck.tasks import ImageClassification
from limbeck.training.store import Store
from recipes.runs import Go, digits

RECIPE = {"task": "image_classification", "models": {"teacher": {"use": "mlp"}, "student": {"use": "mlp"}}}


class Counting(nn.Module):
    """A model that counts the rows that it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(10), nn.Dropout(0.5))
        self.net(torch.zeros(1, 1, 8, 8))
        self.rows = 0

    def forward(self, images: Tensor) -> Tensor:
        self.rows += len(images)
        found: Tensor = self.net(images)
        return found


@pytest.fixture
def model() -> Counting:
    return Counting()


def answers(folder: Path, task: Any, **changes: Any) -> Answers:
    store = Store(folder)

    def kept(key: str, name: str, write: Any) -> Path:
        return store.find(key) or store.publish(key, name, write)

    options: dict[str, Any] = {"recipe": RECIPE, "taught": {"teacher": "weights"}, "machine": ["one"], **changes}
    stages: Any = SimpleNamespace(kept=kept)
    return Answers(task=task, stages=stages, **options)


def test_a_model_is_asked_once_in_eval_mode(tmp_path: Path, model: Counting) -> None:
    task = digits()
    found = answers(tmp_path, task)
    logits, target = found.of_model("student", model, "batch.inputs")
    again, _ = found.of_model("student", model, "batch.inputs")
    assert model.rows == len(task.test)
    with torch.inference_mode():
        expected = torch.cat([model.net.eval()(batch["inputs"]) for batch in task.evaluation(task.test)])
    np.testing.assert_array_equal(logits, expected.double().numpy())
    np.testing.assert_array_equal(target, task.test.target.numpy())
    assert again is logits
    assert not list(tmp_path.iterdir())


def test_a_finished_teacher_is_asked_once_for_all_runs(tmp_path: Path, model: Counting) -> None:
    task = digits()
    logits, target = answers(tmp_path, task).of_model("teacher", model, "batch.inputs")
    asked = model.rows
    others, same = answers(tmp_path, task).of_model("teacher", model, "batch.inputs")
    assert model.rows == asked == len(task.test)
    np.testing.assert_array_equal(others, logits)
    np.testing.assert_array_equal(same, target)
    assert others.dtype == np.float64
    assert same.dtype == np.int64


@pytest.mark.parametrize(
    "changes",
    [
        {"taught": {"teacher": "other weights"}},
        {"machine": ["another"]},
        {"task": digits(test=0.3)},
        {"recipe": {**RECIPE, "models": {"teacher": {"use": "mlp", "preprocess": {"use": "resize", "size": 4}}}}},
        {"taught": {}},
    ],
    ids=["weights", "machine", "rows", "section", "unfinished"],
)
def test_what_something_else_says_is_not_taken(tmp_path: Path, model: Counting, changes: dict[str, Any]) -> None:
    answers(tmp_path, digits()).of_model("teacher", model, "batch.inputs")
    asked = model.rows
    other = answers(tmp_path, **{"task": digits(), **changes})
    logits, _ = other.of_model("teacher", model, "batch.inputs")
    assert model.rows - asked == len(other.task.test) == len(logits)


def test_a_file_and_its_copy_are_asked_once(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one", "copy", "other")]
    for file, content in zip(files, (b"a", b"a", b"b"), strict=True):
        file.write_bytes(content)
    counts = dict.fromkeys(files, 0)
    found = answers(tmp_path / "stages", digits())

    def reader(file: Path) -> Callable[[Any], Tensor]:
        def read(batch: Any) -> Tensor:
            counts[file] += 1
            return torch.zeros(len(batch["inputs"]), 10)

        return read

    for file in files:
        found.of_file(file, reader(file))
    assert [count > 0 for count in counts.values()] == [True, False, True]


def test_the_next_run_does_not_ask_the_teacher_again(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    logits = ImageClassification.logits

    def counted(self: ImageClassification, read: Any, rows: Any) -> Any:
        nonlocal calls
        calls += rows is self.test
        return logits(self, read, rows)

    monkeypatch.setattr(ImageClassification, "logits", counted)
    seeds = {"models.teacher.train.seed": 83, "export": {"formats": []}}
    first = go({"train.seed": 81, **seeds})
    # Teacher, control, student.
    assert calls == 3
    second = go({"train.seed": 82, **seeds})
    assert calls == 5
    models = [run.results["models"]["teacher"]["metrics"] for run in (first, second)]
    assert models[0] == models[1]
    # The same where nothing was there to be taken.
    third = go({"train.seed": 82, **seeds}, fresh=True)
    assert calls == 8
    assert {**third.results, "models": None} == {**second.results, "models": None}
