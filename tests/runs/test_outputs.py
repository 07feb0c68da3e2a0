"""Outputs on the test rows are computed once, and never taken from another model, file or data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limbeck.runs import outputs
from limbeck.tasks import ImageClassification
from limbeck.training.stage_store import StageStore
from recipes.small import parse
from runs.finished import Go, digits

RECIPE = parse()


class Counting(nn.Module):
    """A model that counts the rows that it computes."""

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


def outputs_of(folder: Path, task: Any, **changes: Any) -> outputs.TestOutputs:
    store = StageStore(folder)

    def get_or_create(key: str, name: str, write: Any, *, kind: str, main_process_only: bool) -> Path:
        assert main_process_only
        assert kind == "evaluate"
        return store.find(key) or store.publish(key, name, write)

    options: dict[str, Any] = {"recipe": RECIPE, "teacher_keys": {"teacher": "weights"}, "machine": ["one"], **changes}
    runner: Any = SimpleNamespace(get_or_create=get_or_create)
    return outputs.TestOutputs(task=task, runner=runner, **options)


def test_a_model_runs_once_in_eval_mode(tmp_path: Path, model: Counting) -> None:
    task = digits()
    found = outputs_of(tmp_path, task)
    outputs, labels = found.of_model("student", model, "batch.inputs")
    again, _ = found.of_model("student", model, "batch.inputs")
    assert model.rows == len(task.test)
    with torch.inference_mode():
        expected = torch.cat([model.net.eval()(batch["inputs"]) for batch in task.evaluation(task.test)])
    np.testing.assert_array_equal(outputs["logits"], expected.double().numpy())
    np.testing.assert_array_equal(labels["target"], task.test.target.numpy())
    assert again is outputs
    assert not list(tmp_path.iterdir())


def test_a_finished_teacher_runs_once_for_all_runs(tmp_path: Path, model: Counting) -> None:
    task = digits()
    outputs, labels = outputs_of(tmp_path, task).of_model("teacher", model, "batch.inputs")
    asked = model.rows
    others, same = outputs_of(tmp_path, task).of_model("teacher", model, "batch.inputs")
    assert model.rows == asked == len(task.test)
    assert (list(others), list(same)) == (["logits"], ["target"])
    np.testing.assert_array_equal(others["logits"], outputs["logits"])
    np.testing.assert_array_equal(same["target"], labels["target"])
    assert others["logits"].dtype == np.float64
    assert same["target"].dtype == np.int64


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher_keys": {"teacher": "other weights"}},
        {"machine": ["another"]},
        {"task": digits(test=0.3)},
        {"recipe": parse({"models.teacher.preprocess": {"use": "resize", "size": [4, 4]}})},
        {"teacher_keys": {}},
    ],
    ids=["weights", "machine", "rows", "section", "unfinished"],
)
def test_what_something_else_says_is_not_taken(tmp_path: Path, model: Counting, changes: dict[str, Any]) -> None:
    outputs_of(tmp_path, digits()).of_model("teacher", model, "batch.inputs")
    asked = model.rows
    other = outputs_of(tmp_path, **{"task": digits(), **changes})
    outputs, _ = other.of_model("teacher", model, "batch.inputs")
    assert model.rows - asked == len(other.task.test) == len(outputs["logits"])


def test_a_file_and_its_copy_run_once(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one", "copy", "other")]
    for file, content in zip(files, (b"a", b"a", b"b"), strict=True):
        file.write_bytes(content)
    counts = dict.fromkeys(files, 0)
    found = outputs_of(tmp_path / "stages", digits())

    def reader(file: Path) -> Callable[[Any], dict[str, Tensor]]:
        def read(batch: Any) -> dict[str, Tensor]:
            counts[file] += 1
            return {"logits": torch.zeros(len(batch["inputs"]), 10)}

        return read

    for file in files:
        found.of_file(file, reader(file))
    assert [count > 0 for count in counts.values()] == [True, False, True]


def test_the_next_run_does_not_run_the_teacher_again(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    outputs_and_labels = ImageClassification.outputs_and_labels

    def counted(self: ImageClassification, read: Any, rows: Any) -> Any:
        nonlocal calls
        calls += rows is self.test
        return outputs_and_labels(self, read, rows)

    monkeypatch.setattr(ImageClassification, "outputs_and_labels", counted)
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
