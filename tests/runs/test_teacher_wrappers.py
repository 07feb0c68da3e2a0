"""Teachers of other classes, of another input size, and with a confidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import TensorDataset

import limbeck
from limbeck.errors import LimbeckError
from limbeck.tasks.pad_classes import PadClasses
from limbeck.teachers import Confidence, Frozen, MapClasses, Preprocessed
from limbeck.training.loop import Job
from recipes.shell import Shell
from recipes.small import SMALL, changed, resolve
from runs.finished import Go, Run, digits

Jobs = list[tuple[Job, dict[str, torch.Tensor]]]

ALL = list(range(10))


def student_job(jobs: Jobs) -> Job:
    (job,) = [job for job, _ in jobs if job.stage == "student"]
    return job


def images_of(test: bool) -> tuple[torch.Tensor, torch.Tensor]:
    task = digits(labels=100)
    batches = list(task.evaluation(task.test if test else task.teacher_rows.rows))
    return torch.cat([batch["inputs"] for batch in batches]), torch.cat([batch["target"] for batch in batches])


class Nearest(nn.Module):
    """The nearest mean image as a linear classifier, its logits in any order of some digits."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        images, target = images_of(test=False)
        means = torch.stack([images.flatten(1)[target == digit].mean(0) for digit in order])
        self.weight = nn.Parameter(8 * means)
        self.bias = nn.Parameter(-4 * means.square().sum(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight.T + self.bias


def accuracy(model: nn.Module, order: list[int]) -> float:
    inputs, target = images_of(test=True)
    return float((torch.tensor(order)[model(inputs).argmax(1)] == target).double().mean())


# Classes.


def test_a_teacher_of_another_order_teaches_and_is_measured_in_that_of_the_data(go: Go, jobs: Jobs) -> None:
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    run = go({"models.teacher": {"classes": order}}, models={"teacher": Nearest(order)})
    assert accuracy(Nearest(ALL), ALL) > 0.8
    assert run.accuracy("teacher") == pytest.approx(accuracy(Nearest(ALL), ALL))
    mapped = student_job(jobs).distiller.teachers["teacher"]
    assert isinstance(mapped, MapClasses)
    images = torch.rand(5, 1, 8, 8)
    assert torch.allclose(mapped({"batch": {"inputs": images}})["logits"], Nearest(ALL)(images), atol=1e-4)
    # Its file keeps its own order.
    assert torch.equal(run.weights("teacher")["weight"], Nearest(order).weight)


def test_a_teacher_of_some_classes_restricts_the_term_by_itself(go: Go, jobs: Jobs) -> None:
    known = [7, 2, 5, 4]
    run = go({"models.teacher": {"classes": known}, "train.seed": 41}, models={"teacher": Nearest(known)})
    distiller = student_job(jobs).distiller
    assert distiller.terms["soft"].classes is not None
    assert distiller.terms["soft"].classes.places.tolist() == [2, 4, 5, 7]
    assert distiller.terms["hard"].classes is None
    assert 0.2 < run.accuracy("teacher") == pytest.approx(accuracy(Nearest(known), known))
    assert np.isfinite(run.results["models"]["teacher"]["metrics"]["negative_log_likelihood"]["value"])


def test_a_run_of_other_classes_is_mapped_by_their_names(go: Go, tmp_path: Path, jobs: Jobs) -> None:
    names = ["5", "6", "7", "8", "9", "0", "1", "2"]
    images, target = images_of(test=False)
    picked = torch.isin(target, torch.tensor([int(name) for name in names]))
    positions = torch.tensor([names.index(str(int(digit))) for digit in target[picked]])
    rows, labels = images[picked], positions
    before = Run(
        limbeck.run(
            changed({"data": {"labels": 100}, "models.teacher.train": {"epochs": 5, "learning_rate": 0.01}}),
            data=(TensorDataset(rows[:800], labels[:800]), TensorDataset(rows[800:], labels[800:])),
            output=tmp_path / "before",
        )
    )
    config = before.path / "models/teacher/config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text(encoding="utf-8")), "classes": names}), encoding="utf-8"
    )
    jobs.clear()
    run = go({"models.teacher": {"run": str(before.path), "model": "teacher"}, "train.seed": 42})
    distiller = student_job(jobs).distiller
    assert isinstance(distiller.teachers["teacher"], MapClasses)
    assert distiller.terms["soft"].classes is not None
    assert distiller.terms["soft"].classes.places.tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    shipped = load_file(before.path / "models/teacher/model.safetensors")
    assert all(torch.equal(value, shipped[name]) for name, value in run.weights("teacher").items())
    assert 0.5 < run.accuracy("teacher") < 0.85
    again = go({"models.teacher": {"run": str(run.path), "model": "teacher"}, "train.seed": 42})
    assert again.accuracy("teacher") == run.accuracy("teacher")
    with pytest.raises(LimbeckError, match="a student needs the same"):
        go({"models.student": {"run": str(before.path), "model": "teacher"}})


def test_teachers_of_parts_of_the_classes_speak_as_one(go: Go, jobs: Jobs) -> None:
    low, high = [0, 1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5]
    run = go(
        {
            "models.low": {"classes": low},
            "models.high": {"classes": high},
            "models.teacher": {"ensemble": ["low", "high"], "temperature": 2.0},
        },
        models={"low": Nearest(low), "high": Nearest(high)},
    )
    assert student_job(jobs).distiller.terms["soft"].classes is None
    assert run.accuracy("teacher") > max(run.accuracy("low"), run.accuracy("high")) + 0.1


def test_an_ensemble_that_knows_some_classes_is_measured_on_all(go: Go, jobs: Jobs) -> None:
    one, other = [0, 1, 2, 3], [3, 2, 8]
    run = go(
        {
            "models.one": {"classes": one},
            "models.other": {"classes": other},
            "models.teacher": {"ensemble": ["one", "other"]},
        },
        models={"one": Nearest(one), "other": Nearest(other)},
    )
    assert student_job(jobs).distiller.terms["soft"].classes.places.tolist() == [0, 1, 2, 3, 8]  # type: ignore[union-attr]
    assert 0.4 < run.accuracy("teacher") < 0.52


def test_a_term_names_classes(go: Go, jobs: Jobs) -> None:
    changes = {"models.teacher": {"classes": [2, 0, 1]}, "objective.soft.classes": [0, 1, 2], "train.seed": 43}
    go(changes, models={"teacher": Nearest([2, 0, 1])})
    assert student_job(jobs).distiller.terms["soft"].classes.places.tolist() == [0, 1, 2]  # type: ignore[union-attr]


def test_logits_for_all_classes_of_a_task() -> None:
    whole = PadClasses(nn.Identity(), ["c", "x", "a"], ["a", "b", "c"])
    assert torch.equal(whole(torch.tensor([[1.0, 2.0, 3.0]])), torch.tensor([[3.0, -1e4, 1.0]]))
    with pytest.raises(LimbeckError, match=r"gives \[1, 2\], but 3 classes"):
        whole(torch.ones(1, 2))


# Preprocess and confidence.


def test_a_teacher_of_another_input_size_is_trained_teaches_and_is_taken_again(go: Go, jobs: Jobs) -> None:
    resize = {"use": "resize", "size": [4, 4]}
    run = go(
        {
            "models.teacher.preprocess": resize,
            "models.teacher.train.epochs": 5,
            "models.teacher.taps": {"hint": "layers.0"},
            "models.student.taps": {"hint": "layers.0"},
            "objective.hint": {
                "loss": "hint_mse",
                "inputs": {"student": "student.hint", "teacher": "teacher.hint"},
                "weight": 0.1,
            },
        }
    )
    teacher = student_job(jobs).distiller.teachers["teacher"]
    assert isinstance(teacher, Frozen)
    assert isinstance(teacher.model.model, Preprocessed)
    assert run.weights("teacher")["model.net.layers.0.0.weight"].shape == (16, 16)
    assert run.accuracy("teacher") > 0.2
    again = go({"models.teacher": {"run": str(run.path), "model": "teacher"}})
    assert again.accuracy("teacher") == run.accuracy("teacher")
    file = str(run.path / "models/teacher/model.safetensors")
    taken = {"use": "mlp", "width": 16, "depth": 1, "checkpoint": file, "preprocess": resize}
    assert go({"models.teacher": taken}).accuracy("teacher") == run.accuracy("teacher")


def test_the_preprocess_of_a_run_and_of_an_object(go: Go, whole: Run) -> None:
    doubled = {"use": "renormalize", "mean": [0.0], "std": [1.0], "to_mean": [0.0], "to_std": [0.5]}
    model = Nearest(ALL)
    given = go({"models.teacher": {"preprocess": doubled}}, models={"teacher": model})

    class Twice(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = model(2 * images)
            return found

    assert accuracy(Twice(), ALL) != accuracy(model, ALL)
    assert given.accuracy("teacher") == pytest.approx(accuracy(Twice(), ALL))
    taken = go({"models.teacher": {"run": str(whole.path), "model": "teacher", "preprocess": doubled}})
    assert taken.accuracy("teacher") != whole.accuracy("teacher")
    again = go({"models.teacher": {"run": str(taken.path), "model": "teacher"}})
    assert again.accuracy("teacher") == taken.accuracy("teacher")
    with pytest.raises(LimbeckError, match="has one already"):
        go({"models.teacher": {"run": str(taken.path), "model": "teacher", "preprocess": doubled}})


def test_the_confidence_of_a_teacher_weighs_and_chooses_rows(go: Go, jobs: Jobs) -> None:
    run = go(
        {
            "models.teacher.confidence": 0.3,
            "objective.soft.scale": "teacher.confident",
            "objective.also": {"loss": "kl_divergence", "scale": "teacher.confidence"},
        }
    )
    teacher = student_job(jobs).distiller.teachers["teacher"]
    assert isinstance(teacher, Confidence)
    assert teacher.threshold == 0.3
    assert run.accuracy("teacher") > 0


def test_a_confidence_does_not_train_the_teacher_again(go: Go, jobs: Jobs) -> None:
    for threshold in (0.5, 0.6):
        go({"models.teacher.confidence": threshold, "objective.soft.scale": "teacher.confident", "train.seed": 44})
    stages = [job.stage for job, _ in jobs]
    assert stages.count("student") == 2
    assert stages.count("teacher") <= 1


def test_a_mean_teacher_with_a_confidence_is_kept(go: Go) -> None:
    run = go({"models.teacher": {"ema": "student", "confidence": 0.4}, "objective.soft.scale": "teacher.confident"})
    assert run.weights("teacher").keys() == run.weights("student").keys()


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"models.student.classes": [1, 2]}, "unsupported", "models.student.classes"),
        ({"models.student.confidence": 0.5}, "unsupported", "models.student.confidence"),
        (
            {"models.peer": {"use": "mlp", "train": "together", "preprocess": {"use": "resize", "size": [4, 4]}}},
            "unsupported",
            "models.peer.preprocess",
        ),
        ({"models.teacher.classes": [1, 2]}, "unsupported", "models.teacher.classes"),
        ({"models.teacher.confidence": 2}, "out_of_range", "models.teacher.confidence"),
        ({"models.teacher.confidence": "high"}, "wrong_type", "models.teacher.confidence"),
        ({"models.teacher.preprocess": {"use": "resise", "size": [4, 4]}}, "unknown_name", "models.teacher.preprocess"),
        ({"models.teacher.preprocess": {"use": "resize", "size": [4]}}, "wrong_type", "models.teacher.preprocess.size"),
        (
            {"models.teacher.preprocess": {"use": "resize", "size": [0, 4]}},
            "out_of_range",
            "models.teacher.preprocess.size",
        ),
        (
            {"models.teacher": {"ensemble": ["a"], "classes": [1, 2]}, "models.a": "mlp"},
            "unsupported",
            "models.teacher.classes",
        ),
        ({"objective.soft.classes": ["zero", "one"]}, "unknown_name", "objective.soft.classes"),
        ({"objective.soft.classes": [1]}, "out_of_range", "objective.soft.classes"),
        ({"objective.soft.classes": 1}, "wrong_type", "objective.soft.classes"),
    ],
    ids=lambda part: str(part)[:70],
)
def test_wrong_wrappers_are_one_line_with_its_place(
    shell: Shell, changes: dict[str, Any], code: str, path: str
) -> None:
    refusal = shell.refusal("run", shell.write(changed(changes)))
    assert (refusal.code, refusal.path) == (code, path), refusal.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models.student.classes": [1, 2]}, "is for teachers"),
        ({"models.teacher.classes": [1, 2]}, "knows the classes of the data"),
        ({"models.teacher.confidence": 2}, "must be a probability"),
        ({"models.teacher.preprocess": {"use": "resize", "size": [0, 4]}}, "at least 1 pixel"),
        ({"models.teacher": {"ensemble": ["a"], "classes": [1, 2]}, "models.a": "mlp"}, "that this one is made of"),
        ({"objective.soft.classes": ["zero", "one"]}, "no class 'zero'"),
        ({"objective.soft.classes": [1]}, "at least two"),
    ],
    ids=lambda part: str(part)[:70],
)
def test_wrong_wrappers_are_one_line(shell: Shell, changes: dict[str, Any], message: str) -> None:
    assert message in shell.refused("run", shell.write(changed(changes)))


@pytest.mark.parametrize(
    ("classes", "message"),
    [([1, 2, 3], "but 3 classes are named"), (list(range(10, 20)), "at least 2"), ([1] * 10, "twice")],
    ids=["too few", "strange", "twice"],
)
def test_classes_that_do_not_fit_an_object(classes: list[int], message: str) -> None:
    recipe = changed({"models.teacher": {"classes": classes}})
    with pytest.raises(LimbeckError, match=message):
        limbeck.run(recipe, models={"teacher": Nearest(ALL)})


def test_resolving_wrappers_again_changes_nothing() -> None:
    wrappers = {"preprocess": {"use": "resize", "size": [4, 4]}, "confidence": 0.5}
    once = resolve(changed({"models.teacher": {**SMALL["models"]["teacher"], **wrappers}}), name="x")
    assert resolve(once, name="x") == once
    assert once["models"]["teacher"]["preprocess"] == {"use": "resize", "size": [4, 4]}
    taken = {"run": "x", "classes": [3, "four"]}
    assert resolve(changed({"models.teacher": taken}), name="x")["models"]["teacher"]["classes"] == ["3", "four"]
