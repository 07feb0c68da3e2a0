"""Students that are fitted at once, against the loss of a training step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.core import Distiller, Term
from limbeck.errors import ArgumentError
from limbeck.losses import CrossEntropy, KLDivergence, MSELogits, ReverseKL, SoftCrossEntropy
from limbeck.models import SklearnModule, sklearn_part
from limbeck.models.sklearn_models import logistic_regression_of_words, random_forest_of_words
from limbeck.teachers import EMA, Ensemble, Frozen, RandomTeacher
from limbeck.training.fitting import check_fitting, fit_at_once
from limbeck.training.loop import Job
from limbeck.training.progress import SilentProgress
from limbeck.training.settings import Settings

ROWS, WORDS, CLASSES = 80, 10, 3


def batch() -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    target = torch.randint(0, CLASSES, (ROWS,), generator=draw)
    target[30:] = -100
    return {
        "inputs": {"input_ids": torch.randint(1, WORDS, (ROWS, 7), generator=draw)},
        "target": target,
        "labelled": target >= 0,
        "unlabelled": target < 0,
    }


class Teacher(nn.Module):
    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(
            torch.randn(WORDS, CLASSES, generator=torch.Generator().manual_seed(seed))
        )

    def forward(self, input_ids: Tensor) -> Tensor:
        logits: Tensor = self.table(input_ids).sum(1)
        return logits


def rows() -> Iterator[dict[str, Any]]:
    whole = batch()
    for part in (slice(0, 32), slice(32, 50), slice(50, ROWS)):
        yield {
            **{k: v[part] for k, v in whole.items() if k != "inputs"},
            "inputs": {"input_ids": whole["inputs"]["input_ids"][part]},
        }


def job(terms: Mapping[str, Term], teachers: Mapping[str, Any] | None = None, student: nn.Module | None = None) -> Job:
    student = student or logistic_regression_of_words(classes=CLASSES, vocabulary=WORDS, words="counts", l2=1e-6)
    teachers = {"teacher": Frozen(Teacher())} if teachers is None else teachers
    return Job(
        stage="student",
        seed=0,
        distiller=Distiller(student, terms, teachers),
        batches=None,  # type: ignore[arg-type]  # no step is taken
        steps_per_epoch=1,
        settings=Settings(),
        validate=None,
        rows=rows,
    )


def soft(temperature: float = 1.0, **options: Any) -> Term:
    return Term(KLDivergence(temperature=temperature), **options)


OBJECTIVES: dict[str, Any] = {
    "labels": lambda: {"hard": Term(CrossEntropy())},
    "soft labels": lambda: {"soft": soft()},
    "hot soft labels": lambda: {"soft": soft(3.0)},
    "both": lambda: {"hard": Term(CrossEntropy(), weight=0.7), "soft": soft(weight=0.2)},
    "labels of labelled, soft labels of the others": lambda: {
        "hard": Term(CrossEntropy(), where="batch.labelled"),
        "soft": Term(SoftCrossEntropy(), where="batch.unlabelled", weight=2.0),
    },
    "two teachers": lambda: {
        "soft": soft(2.0, weight=0.3),
        "more": Term(KLDivergence(temperature=2.0), {"teacher": "other.logits"}, weight=0.9),
    },
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_it_minimizes_what_a_training_step_would(name: str) -> None:
    terms = OBJECTIVES[name]()
    teachers = {"teacher": Frozen(Teacher()), "other": Frozen(Teacher(2))}
    made = job(terms, teachers)
    before = made.distiller(batch()).loss()
    weights = fit_at_once(made, device=torch.device("cpu"), log=None, progress=SilentProgress())["student"]
    after = made.distiller.train()(batch()).loss()
    after.backward()
    part = sklearn_part(made.student)
    assert part is not None
    assert after < before - 0.05
    # At its minimum the loss has no gradient. Counts of words sum to 7, so the bias is not told apart from them.
    assert all(parameter.grad is not None and parameter.grad.abs().max() < 2e-3 for parameter in part.parameters())
    assert weights.keys() == made.student.state_dict().keys()


def test_rows_that_no_term_counts_change_nothing() -> None:
    def fitted(keep: int) -> dict[str, Tensor]:
        made = job({"hard": Term(CrossEntropy())})
        parts = list(rows())[:keep]
        object.__setattr__(made, "rows", lambda: iter(parts))
        return fit_at_once(made, device=torch.device("cpu"), log=None, progress=SilentProgress())["student"]

    # All labelled rows stand in the first batch.
    whole, first = fitted(3), fitted(1)
    assert all(torch.equal(whole[name], first[name]) for name in whole)


def test_hooks_are_gone_and_a_second_fit_is_the_same() -> None:
    made = job({"soft": soft()}, student=random_forest_of_words(classes=CLASSES, vocabulary=WORDS, trees=3))
    part = sklearn_part(made.student)
    assert isinstance(part, SklearnModule)
    first = fit_at_once(made, device=torch.device("cpu"), log=None, progress=SilentProgress())["student"]
    assert not part._forward_pre_hooks
    again = fit_at_once(made, device=torch.device("cpu"), log=None, progress=SilentProgress())["student"]
    assert all(torch.equal(first[name], again[name]) for name in first)


REFUSED: dict[str, tuple[Any, str]] = {
    "temperatures": (lambda: {"hard": Term(CrossEntropy()), "soft": soft(2.0)}, r"temperatures are \[1.0, 2.0\]"),
    "another loss": (lambda: {"soft": Term(MSELogits())}, r"objective.soft: .* by cross_entropy, kl_divergence"),
    "a kin": (lambda: {"soft": Term(ReverseKL())}, r"it is ReverseKL"),
    "smoothing": (lambda: {"hard": Term(CrossEntropy(label_smoothing=0.1))}, r"label_smoothing=0.1"),
    "class weights": (lambda: {"hard": Term(CrossEntropy(class_weights=[1.0, 1.0, 2.0]))}, r"without further options"),
    "standardized": (lambda: {"soft": Term(KLDivergence(standardize=True))}, r"without further options"),
    "a weight that moves": (lambda: {"soft": soft(weight=lambda step: 1.0 + step)}, r"a weight that moves"),
    "a scale": (lambda: {"soft": soft(scale="batch.labelled")}, r"scale"),
    "some classes": (lambda: {"soft": soft(classes=[0, 1])}, r"knows some of the classes"),
    "hidden states": (
        lambda: {"soft": Term(KLDivergence(), {"teacher": "teacher.hidden"})},
        r"the logits of teachers alone; teacher reads teacher.hidden",
    ),
    "itself": (lambda: {"soft": Term(KLDivergence(), {"teacher": "student.logits"})}, r"teacher reads student.logits"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_scikit_learn_cannot_minimize_is_refused(name: str) -> None:
    terms, message = REFUSED[name]
    with pytest.raises(ArgumentError, match=message):
        check_fitting(job(terms()).distiller)


@pytest.mark.parametrize(
    ("teacher", "what"),
    [
        (lambda: EMA("student"), "EMA"),
        (lambda: RandomTeacher({"a": Frozen(Teacher()), "b": Frozen(Teacher(2))}), "RandomTeacher"),
        (lambda: Ensemble({"a": Frozen(Teacher()), "b": Frozen(Teacher(2))}, weights="learned"), "Ensemble"),
    ],
)
def test_teachers_that_change_are_refused(teacher: Any, what: str) -> None:
    terms = {"soft": soft()}
    if what == "Ensemble":
        terms["weigh"] = Term(CrossEntropy(), {"student": "teacher.logits"})
        del terms["soft"]
    with pytest.raises(ArgumentError, match=what if what != "Ensemble" else r"student reads teacher.logits"):
        check_fitting(job(terms, {"teacher": teacher()}).distiller)


def test_the_temperature_is_that_of_all_terms() -> None:
    assert check_fitting(job({"soft": soft(3.0)}).distiller) == 3.0
    assert check_fitting(job({"hard": Term(CrossEntropy()), "soft": soft(1.0)}).distiller) == 1.0
