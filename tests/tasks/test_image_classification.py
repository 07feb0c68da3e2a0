"""Image classification: rows, statistics, label budget, validation; and the test rows, which nobody reads early."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from torch import Tensor, nn

import limbeck.api
from limbeck.core import outputs_of
from limbeck.data import ImageSet
from limbeck.data.sources.digits import Digits
from limbeck.errors import ArgumentError, DataError
from limbeck.models import Normalized
from limbeck.tasks import ImageClassification, ImageSettings
from resume.recipes import dropout
from tasks.whole_outputs import outputs_and_labels


def task(**settings: object) -> ImageClassification:
    return ImageClassification(Digits().load(), ImageSettings(**settings))


def pixels(data: ImageSet) -> Tensor:
    images = data.images.take(torch.arange(len(data)))
    return images if images.is_floating_point() else images.float() / 255


def colours(rows: int, *, start: int = 0) -> ImageSet:
    generator = torch.Generator().manual_seed(start)
    images = torch.rand(rows, 3, 2, 2, generator=generator)
    images[:, -1] = 0.25
    return ImageSet.from_tensor(images, torch.arange(rows) % 2, ("a", "b"), start=start)


@pytest.mark.parametrize(("rows", "step"), [(40, 1), (2048, 1), (6144, 3)])
def test_statistics_are_those_of_training_rows(rows, step):
    source = {"train": colours(rows), "test": colours(10, start=rows)}
    built = ImageClassification(source, ImageSettings(validation=0.0))
    values = pixels(built.teacher_rows.rows).double().numpy()[::step].transpose(1, 0, 2, 3).reshape(3, -1)
    mean, deviation = built.inputs.statistics
    np.testing.assert_allclose(mean, values.mean(1), rtol=1e-12)
    np.testing.assert_allclose(deviation[:2], values.std(1)[:2], rtol=1e-12)
    # A channel that never changes keeps its scale.
    assert deviation[2] == 1.0


def test_statistics_are_the_same_for_few_labels():
    assert task(labels=50, limit=200).inputs.statistics == task().inputs.statistics


def test_rows_of_the_three_splits_are_apart():
    built = task(validation=0.2, test=0.3)
    parts = [built.teacher_rows.rows.index, built.validation.index, built.test.index]
    assert sorted(torch.cat(parts).tolist()) == list(range(1797))
    assert [len(part) for part in parts] == [1797 - 359 - 539, 359, 539]


def test_limit_and_labels_are_the_students():
    whole, built = task(), task(limit=300, labels=40)
    assert torch.equal(built.teacher_rows.rows.index, whole.teacher_rows.rows.index)
    assert torch.equal(built.test.index, whole.test.index)
    assert torch.equal(built.validation.index, whole.validation.index)
    rows = built.student_rows.rows
    assert len(rows) == 300
    assert set(rows.index.tolist()) <= set(whole.teacher_rows.rows.index.tolist())
    assert built.budget() == {"training": 40, "unlabelled": 260}
    assert torch.bincount(rows.target[rows.labelled]).tolist() == [4] * 10
    assert (built.student_rows.labelled_only, built.labelled_rows.labelled_only) == (False, True)
    assert built.labelled_rows.rows is rows


def test_without_labels_set_all_count():
    assert task().budget() == {"training": 1168, "unlabelled": 0}


def test_the_control_takes_as_many_steps_and_sees_labels_only():
    built = task(labels=40)
    lengths = []
    for training in (built.student_rows, built.labelled_rows):
        batches, length = built.batches(training, batch_size=64, seed=0, rank=0, world=1)
        lengths.append(length)
        first = next(batches.iterate(0, 1))
        assert len(first["row"]) == 64
        assert int(first["labelled"].sum()) == (64 if training.labelled_only else 16)
    assert lengths[0] == lengths[1] == (1168 - 40) // 48


def test_rows_without_any_label():
    source = {"train": ImageSet.from_tensor(pixels(colours(40)), torch.full((40,), -100), ("a", "b"))}
    with pytest.raises(DataError):
        ImageClassification(source, ImageSettings())


@pytest.mark.parametrize(("name", "value"), [("limit", 0), ("labels", -5)])
def test_no_rows_at_all(name, value):
    with pytest.raises(ArgumentError, match=f"{name} is {value}; it must be at least [01], or null for all"):
        ImageSettings(**{name: value})


class Linear(nn.Module):
    def __init__(self, *, channels: int, classes: int, size: tuple[int, int]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(channels * size[0] * size[1], classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


def test_validation_accuracy_is_that_of_scikit_learn():
    built = task()
    model = built.build(Linear).eval()
    with torch.no_grad():
        images = pixels(built.validation)
        mean, deviation = (torch.tensor(v).view(-1, 1, 1) for v in built.inputs.statistics)
        expected = model.net((images - mean.float()) / deviation.float()).argmax(1)
    assert built.validate(model) == {"accuracy": accuracy_score(built.validation.target, expected)}
    outputs, labels = outputs_and_labels(built, partial(outputs_of, model), built.validation)
    logits, target = outputs["logits"], labels["target"]
    assert (logits.dtype, target.dtype) == (np.float64, np.int64)
    np.testing.assert_array_equal(target, built.validation.target.numpy())
    assert accuracy_score(target, logits.argmax(1)) == built.validate(model)["accuracy"]


def test_a_model_knows_shape_classes_and_normalization():
    built = task()
    model = built.build(Linear)
    assert isinstance(model, Normalized)
    assert model.net.head.weight.shape == (10, 64)
    assert (built.test.shape, len(built.classes)) == ((1, 8, 8), 10)
    assert built.example["inputs"].shape == (1, 1, 8, 8)
    assert torch.equal(built.example["inputs"][0], pixels(built.validation)[0])


class Spied:
    """The images of a set; notes when they are read."""

    def __init__(self, images: object, reads: list[str]) -> None:
        self._images = images
        self._reads = reads

    def __getattr__(self, name: str) -> object:
        return getattr(self._images, name)

    def take(self, rows: Tensor) -> Tensor:
        self._reads.append("test rows")
        return self._images.take(rows)


def test_the_test_rows_are_read_once_all_training_is_done(tmp_path, monkeypatch):
    """A whole run, with the stages and the reads in the order in which they come."""
    happened: list[str] = []
    made = ImageClassification.__init__

    def init(self: ImageClassification, *arguments: object) -> None:
        made(self, *arguments)
        test = copy.copy(self.test)
        object.__setattr__(test, "images", Spied(test.images, happened))
        self.test = test

    class Noting:
        def start(self, stage: str, seed: int, total: int, step: int) -> None:
            happened.append(stage)

        def advance(self, step: int, loss: float) -> None: ...

        def validated(self, epoch: int, scores: object) -> None: ...

        def finish(self) -> None:
            happened.append("finished")

        def note(self, text: str) -> None: ...

    monkeypatch.setattr(ImageClassification, "__init__", init)
    limbeck.api.run({**dropout(), "seeds": 1}, output=tmp_path / "run", progress=Noting())
    first = happened.index("test rows")
    assert happened[:first] == ["teacher", "finished", "control", "finished", "student", "finished"]
    assert set(happened[first:]) == {"test rows"}
