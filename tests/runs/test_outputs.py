"""Outputs on the test rows are computed once, and never taken from another model, file or data set."""

from __future__ import annotations

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


def read(reader: outputs.Reader, task: Any) -> list[dict[str, np.ndarray[Any, Any]]]:
    return [reader(number, batch) for number, batch in enumerate(task.evaluation(task.test))]


def test_a_model_computes_each_batch_once_in_eval_mode(tmp_path: Path, model: Counting) -> None:
    task = digits()
    found = outputs_of(tmp_path, task)
    one, same = (found.of_model(name, model, "batch.inputs") for name in ("student", "the same under another name"))
    for number, batch in enumerate(task.evaluation(task.test)):
        outputs = one(number, batch)
        assert same(number, batch) is outputs
        with torch.inference_mode():
            expected = model.net.eval()(batch["inputs"])
        np.testing.assert_array_equal(outputs["logits"], expected.double().numpy())
    assert model.rows == len(task.test)
    assert not list(tmp_path.iterdir())


def test_a_finished_teacher_runs_once_for_all_runs(tmp_path: Path, model: Counting) -> None:
    task = digits()
    first = read(outputs_of(tmp_path, task).of_model("teacher", model, "batch.inputs"), task)
    asked = model.rows
    second = read(outputs_of(tmp_path, task).of_model("teacher", model, "batch.inputs"), task)
    assert model.rows == asked == len(task.test)
    assert len(first) == len(second) > 1
    for one, other in zip(first, second, strict=True):
        assert list(other) == ["logits"]
        np.testing.assert_array_equal(other["logits"], one["logits"])
        assert other["logits"].dtype == np.float64


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
    found = read(other.of_model("teacher", model, "batch.inputs"), other.task)
    assert model.rows - asked == len(other.task.test) == sum(len(part["logits"]) for part in found)


class Written:
    """Stands for an exported file; counts how often it is read."""

    def __init__(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)
        self.file = file
        self.count = 0

    def read(self, batch: Any) -> dict[str, Tensor]:
        self.count += 1
        return {"logits": torch.zeros(len(batch["inputs"]), 10)}


def test_a_file_and_its_copy_run_once(tmp_path: Path) -> None:
    contents = {"one": b"a", "copy": b"a", "other": b"b"}
    files: list[Any] = [Written(tmp_path / name, content) for name, content in contents.items()]
    found = outputs_of(tmp_path / "stages", digits())
    readers = [found.of_file(file) for file in files]
    for number, batch in enumerate(found.task.evaluation(found.task.test)):
        for reader in readers:
            reader(number, batch)
    assert [file.count > 0 for file in files] == [True, False, True]


def test_the_next_run_does_not_run_the_teacher_again(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    measured = ImageClassification.measured

    def counted(self: ImageClassification, outputs: Any, batch: Any) -> Any:
        nonlocal calls
        first = next(self.evaluation(self.test))
        calls += torch.equal(batch["row"], first["row"]) and torch.equal(batch["target"], first["target"])
        return measured(self, outputs, batch)

    monkeypatch.setattr(ImageClassification, "measured", counted)
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
