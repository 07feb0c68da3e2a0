"""Which models run, in which order, and what they may share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.toys import CE, CLASSES, FEATURES, KL, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import ArgumentError
from limbeck.teachers import EMA, Cached, Ensemble, Frozen, Peer
from refusals import refused

BATCH = make_batch(5)


class Recorded(nn.Module):
    """A model that writes its name where it runs."""

    def __init__(self, name: str, log: list[str], width: int = CLASSES) -> None:
        super().__init__()
        self.name, self.log = name, log
        self.layer = nn.Linear(width, CLASSES).double()

    def forward(self, inputs):
        self.log.append(self.name)
        return self.layer(inputs)


def test_every_model_runs_after_those_that_it_reads():
    log: list[str] = []
    students = {
        "late": Tapped(Recorded("late", log), inputs="teacher.logits"),
        "last": Tapped(Recorded("last", log), inputs="late.logits"),
        "first": Tapped(Recorded("first", log, FEATURES)),
    }
    teachers = {
        "unused": Frozen(Recorded("unused", log, FEATURES)),
        "teacher": Frozen(Recorded("teacher", log), inputs="first.logits"),
    }
    terms = {"hard": Term(CE(), {"student": "last.logits"})}
    distiller = Distiller(students, terms, teachers)
    distiller(BATCH)
    assert log == ["first", "teacher", "late", "last"]
    assert list(distiller.teachers) == ["teacher"]
    assert list(distiller.students) == ["late", "last", "first"]


def test_models_that_do_not_read_each_other_keep_their_order():
    log: list[str] = []
    students = {name: Recorded(name, log, FEATURES) for name in ("b", "a")}
    teachers = {name: Frozen(Recorded(name, log, FEATURES)) for name in ("d", "c")}
    terms = {"one": Term(KL(), {"student": "a.logits", "teacher": "c.logits"})}
    terms["two"] = Term(KL(), {"student": "b.logits", "teacher": "d.logits"})
    Distiller(students, terms, teachers)(BATCH)
    assert log == ["b", "a", "c", "d"]


@pytest.mark.parametrize(
    ("students", "teachers", "circle"),
    [
        ({"a": "b.logits", "b": "a.logits"}, {}, "a -> b -> a"),
        ({"a": "a.logits"}, {}, "a -> a"),
        ({"a": "t.logits"}, {"t": "a.logits"}, "a -> t -> a"),
        ({"a": "batch.inputs"}, {"t": "u.logits", "u": "t.logits"}, "t -> u -> t"),
    ],
)
def test_a_circle_is_refused(students, teachers, circle):
    with pytest.raises(ArgumentError, match=f"models read each other in a circle: {circle}"):
        Distiller(
            {name: Tapped(mlp(0), inputs=inputs) for name, inputs in students.items()},
            {"hard": Term(CE(), {"student": "a.logits"})},
            {name: Frozen(mlp(1), inputs=inputs) for name, inputs in teachers.items()},
        )


def test_an_unknown_source_of_one_of_several_inputs_is_refused():
    reader = Tapped(mlp(0), inputs={"input": "studnt.logits"})
    with refused(
        ArgumentError,
        "unknown_name",
        "student 'reader'",
        match=r"student 'reader': no source 'studnt'\. Did you mean 'student'\?",
    ):
        Distiller({"student": mlp(0), "reader": reader}, {"hard": Term(CE())})


def test_students_may_share_modules():
    trunk = mlp(0)[:2]
    students = {name: nn.Sequential(trunk, mlp(seed)[2]) for seed, name in enumerate(("student", "other"), 1)}
    terms = {"one": Term(CE()), "two": Term(CE(), {"student": "other.logits"})}
    distiller = Distiller(students, terms)
    assert len(list(distiller.parameters())) == len(list(mlp(0).parameters())) + 2
    distiller(BATCH).loss().backward()
    both = trunk[0].weight.grad.clone()
    alone = []
    for name in students:
        distiller.zero_grad()
        distiller(BATCH).terms["one" if name == "student" else "two"].value.backward()
        alone.append(trunk[0].weight.grad.clone())
    torch.testing.assert_close(both, sum(alone))


def statistics() -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(FEATURES, affine=False), nn.Linear(FEATURES, CLASSES)).double()


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda student: Frozen(student), r"student 'student' and teacher 'teacher' share the whole model"),
        (lambda student: Frozen(nn.Sequential(student[0], mlp(1))), "share the module '0'"),
        (lambda student: Ensemble({"a": Frozen(mlp(1)), "b": Frozen(student)}), "share the whole model"),
        (lambda student: Trained(student), "share the whole model"),
    ],
)
@pytest.mark.parametrize("model", [lambda: mlp(0), statistics])
def test_a_student_and_a_teacher_may_not_share_modules(model, wrap, message):
    student = model()
    teacher = wrap(student)
    student.requires_grad_(True)
    terms = {"hard": Term(CE()), "soft": Term(KL())}
    with pytest.raises(ArgumentError, match=message):
        Distiller(student, terms, {"teacher": teacher})


class Trained(nn.Module):
    """A teacher that trains its model."""

    reads = ("batch.inputs",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.net = model

    def forward(self, board):
        return {"logits": self.net(board["batch"]["inputs"])}


def test_a_module_without_state_may_be_in_student_and_teacher():
    relu = nn.ReLU()
    distiller = Distiller(
        nn.Sequential(mlp(0), relu), {"soft": Term(KL())}, {"teacher": Frozen(nn.Sequential(mlp(1), relu))}
    )
    separate = Distiller(
        nn.Sequential(mlp(0), nn.ReLU()), {"soft": Term(KL())}, {"teacher": Frozen(nn.Sequential(mlp(1), nn.ReLU()))}
    )
    torch.testing.assert_close(distiller(BATCH).loss(), separate(BATCH).loss(), rtol=0, atol=0)


def test_a_weight_tied_to_a_frozen_teacher_stays_tied_and_frozen():
    student, model = mlp(0), mlp(1)
    student[2].weight = model[2].weight
    distiller = Distiller(student, {"hard": Term(CE()), "soft": Term(KL())}, {"teacher": Frozen(model)})
    distiller(BATCH).loss().backward()
    assert student[2].weight is model[2].weight
    assert student[2].weight.grad is None
    assert student[0].weight.grad.any()


@pytest.mark.parametrize("teacher", [EMA("student"), Peer("student"), Cached()])
def test_teachers_that_follow_a_student_share_nothing(teacher):
    student = mlp(0)
    distiller = Distiller(student, {"hard": Term(CE()), "soft": Term(KL())}, {"teacher": teacher})
    # The teacher adds no parameter to train: those that there are belong to the student.
    assert [id(each) for each in distiller.parameters()] == [id(each) for each in student.parameters()]
