"""Students fitted to numbers: what they minimize is what a training step computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.core import Distiller, Term
from limbeck.errors import ArgumentError
from limbeck.losses import Pinball, SquaredError
from limbeck.models import Values, logistic_regression, predict_numbers_, ridge, sklearn_part
from limbeck.teachers import EMA, Frozen
from limbeck.training.fitting import check_fitting, fit_at_once
from limbeck.training.loop import Job
from limbeck.training.progress import SilentProgress
from limbeck.training.settings import Settings

ROWS, FEATURES, TARGETS = 90, 4, 2


def batch() -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, FEATURES, generator=draw)
    target = torch.stack([inputs[:, 0] * 3 + 50, inputs[:, 1] ** 2 * 200], 1)
    target[60:] = torch.nan
    target[::4, 1] = torch.nan
    labelled = ~target.isnan().all(1)
    return {"inputs": inputs, "target": target, "labelled": labelled, "unlabelled": ~labelled}


class Teacher(nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"value": torch.stack([inputs.sum(1), inputs[:, 2].exp()], 1) * self.factor}


def rows() -> Iterator[dict[str, Any]]:
    whole = batch()
    for part in (slice(0, 32), slice(32, 50), slice(50, ROWS)):
        yield {name: value[part] for name, value in whole.items()}


def student(build: Any = ridge, **options: Any) -> nn.Module:
    net = build(channels=1, classes=TARGETS, size=(1, FEATURES), **options)
    return Values(predict_numbers_(net, TARGETS), mean=[50.0, 100.0], std=[3.0, 80.0], single=False)


def job(terms: dict[str, Term], teachers: Any = None, model: nn.Module | None = None) -> Job:
    teachers = {"teacher": Frozen(Teacher()), "other": Frozen(Teacher(-2.0))} if teachers is None else teachers
    return Job(
        stage="student",
        seed=0,
        distiller=Distiller(student(l2=1e-9) if model is None else model, terms, teachers),
        batches=None,  # type: ignore[arg-type]  # no step is taken
        steps_per_epoch=1,
        settings=Settings(),
        validate=None,
        rows=rows,
    )


def term(target: str = "batch.target", loss: nn.Module | None = None, **options: Any) -> Term:
    return Term(loss or SquaredError(), {"student": "student.value", "target": target}, **options)


OBJECTIVES: dict[str, Any] = {
    "labels": lambda: {"hard": term()},
    "a teacher": lambda: {"soft": term("teacher.value")},
    "both": lambda: {"hard": term(weight=0.1), "soft": term("teacher.value", weight=0.9)},
    "labels and a teacher of the others": lambda: {
        "hard": term(),
        "soft": term("teacher.value", where="batch.unlabelled", weight=0.3),
    },
    "two teachers": lambda: {"soft": term("teacher.value", weight=0.3), "more": term("other.value", weight=2.0)},
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_it_minimizes_what_a_training_step_would(name: str) -> None:
    made = job(OBJECTIVES[name]())
    before = made.distiller(batch()).loss()
    fit_at_once(made, device=torch.device("cpu"), log=None, progress=SilentProgress())
    loss = made.distiller.train()(batch()).loss()
    loss.backward()
    part = sklearn_part(made.student)
    assert part is not None
    assert loss < 0.9 * before
    # A linear model without a penalty is at its minimum where the loss has no gradient.
    scale = float(before.detach())
    assert all(p.grad is not None and p.grad.abs().max() < 1e-4 * scale for p in part.model.parameters())


REFUSED: dict[str, tuple[Any, str]] = {
    "another loss": (
        lambda: {"hard": term(loss=Pinball(quantiles=(0.5,)))},
        r"objective.hard: .* to numbers, by squared_error; it is Pinball",
    ),
    "a scale": (lambda: {"hard": term(scale="batch.labelled")}, r"objective.hard: .*scale"),
    "a weight that moves": (lambda: {"hard": term(weight=lambda step: 1.0 + step)}, r"a weight that moves"),
    "itself": (lambda: {"soft": term("student.value")}, r"objective.soft: .* target reads student.value"),
    "features": (lambda: {"soft": term("teacher.hidden")}, r"target reads teacher.hidden"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_minimized_at_once_is_refused(name: str) -> None:
    terms, message = REFUSED[name]
    with pytest.raises(ArgumentError, match=message):
        check_fitting(job(terms()).distiller)


def test_a_teacher_that_changes_is_refused() -> None:
    with pytest.raises(ArgumentError, match="teacher has EMA in it"):
        check_fitting(job({"soft": term("teacher.value")}, {"teacher": EMA("student")}).distiller)


def test_numbers_and_classes_are_told_apart() -> None:
    with pytest.raises(ArgumentError, match="take logistic_regression"):
        check_fitting(job({"hard": term()}, model=ridge(channels=1, classes=2, size=(1, FEATURES))).distiller)
    with pytest.raises(ArgumentError, match="take ridge"):
        student(logistic_regression)
