"""A student that trains along, as a fixed function, against torch's own gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from core.toys import CE, FEATURES, KL, gradients, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import ArgumentError
from limbeck.teachers import Ensemble, Live
from refusals import refused

BATCH = make_batch(7)


class Mean(nn.Module):
    def forward(self, student):
        return student.mean(-1)


class Reader(nn.Module):
    """With everything that a forward may change: running statistics, spectral normalization and dropout."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            self.norm = nn.BatchNorm1d(4)
            self.head = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2))
            self.double()

    def forward(self, inputs):
        return self.head(self.norm(inputs))


def two(**live) -> Distiller:
    students = {
        "student": mlp(0),
        "reader": Tapped(Reader(), {"normed": "norm"}, inputs="student.logits", detach_inputs=True),
    }
    terms = {
        "own": Term(Mean(), {"student": "reader.logits"}),
        "through": Term(Mean(), {"student": "live.logits"}),
    }
    return Distiller(students, terms, {"live": Live("reader", **live)})


@pytest.mark.parametrize("training", [True, False])
def test_gradients_flow_to_the_inputs_and_not_to_the_weights(training):
    distiller = two().train(training)
    distiller(BATCH).terms["through"].sum.backward()
    assert gradients(distiller.students["reader"]) == {}
    model, reader = mlp(0), Reader().train(training)
    reader(model(BATCH["inputs"])).mean(-1).sum().backward()
    torch.testing.assert_close(gradients(distiller.students["student"].model), gradients(model))


def test_the_outputs_are_those_of_the_student_with_its_taps():
    outputs = two().eval()(BATCH).outputs
    torch.testing.assert_close(outputs["live"], outputs["reader"])
    assert list(outputs["live"]) == ["logits", "normed"]
    assert outputs["live"]["logits"].requires_grad


def test_its_forward_leaves_the_buffers_of_the_student_to_the_student():
    distiller = two()
    alone = Distiller(distiller.students, {"own": Term(Mean(), {"student": "reader.logits"})})
    alone = copy.deepcopy(alone)
    before = copy.deepcopy(dict(distiller.students["reader"].named_buffers()))
    distiller(BATCH)
    alone(BATCH)
    after = dict(distiller.students["reader"].named_buffers())
    torch.testing.assert_close(after, dict(alone.students["reader"].named_buffers()), rtol=0, atol=0)
    assert not torch.equal(after["model.norm.running_mean"], before["model.norm.running_mean"])


def test_it_follows_the_weights_of_the_student():
    distiller = two()
    with torch.no_grad():
        for parameter in distiller.students["reader"].parameters():
            parameter.add_(1.0)
    # Trained, each forward takes one more step of spectral normalization.
    outputs = distiller.eval()(BATCH).outputs
    torch.testing.assert_close(outputs["live"]["logits"], outputs["reader"]["logits"])


def test_other_inputs_than_the_student_has():
    distiller = two(inputs="student.logits")
    assert distiller.teachers["live"].reads == ("student.logits",)
    views = {**BATCH, "other": BATCH["inputs"] * 2}
    terms = {"hard": Term(CE()), "view": Term(KL(), {"teacher": "live.logits"})}
    other = Distiller(mlp(0), terms, {"live": Live("student", inputs="batch.other")})
    torch.testing.assert_close(other(views).outputs["live"]["logits"], mlp(0)(views["other"]))


def test_it_holds_nothing_of_its_own():
    distiller = two()
    live = distiller.teachers["live"]
    assert not list(live.parameters())
    assert not live.state_dict()
    assert not any("live" in name for name in distiller.state_dict())
    twin = copy.deepcopy(distiller)
    with torch.no_grad():
        twin.students["reader"].model.norm.weight.zero_()
    torch.testing.assert_close(twin(BATCH).outputs["live"]["normed"], twin(BATCH).outputs["reader"]["normed"])
    assert distiller(BATCH).outputs["live"]["normed"].any()


def test_a_member_of_an_ensemble():
    students = {"student": mlp(0), "peer": mlp(1)}
    terms = {"hard": Term(CE(), {"student": "peer.logits"}), "soft": Term(KL())}
    ensemble = Ensemble({"a": Live("peer"), "b": Live("student")}, mean="logits")
    outputs = Distiller(students, terms, {"teacher": ensemble})(BATCH).outputs
    expected = (mlp(0)(BATCH["inputs"]) + mlp(1)(BATCH["inputs"])) / 2
    torch.testing.assert_close(outputs["teacher"]["logits"], expected)


def test_a_gradient_penalty_reaches_the_inputs_twice():
    """The gradient of the norm of a gradient, as penalties on discriminators need it."""
    inputs = torch.randn(5, FEATURES, dtype=torch.float64, requires_grad=True)
    live = Live("student", inputs="batch.inputs")
    live.bind_students({"student": Tapped(mlp(0))})
    (first,) = torch.autograd.grad(live({"batch": {"inputs": inputs}})["logits"].sum(), inputs, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), inputs)
    (expected,) = torch.autograd.grad(mlp(0)(inputs).sum(), inputs, create_graph=True)
    torch.testing.assert_close(second, torch.autograd.grad(expected.square().sum(), inputs)[0])


def test_what_cannot_be_right_is_refused():
    terms = {"hard": Term(CE()), "soft": Term(KL(), {"teacher": "live.logits"})}
    with refused(
        ArgumentError,
        "unknown_name",
        "teachers.live",
        match=r"live: no student 'studnt' to run\. Did you mean 'student'\?",
    ):
        Distiller(mlp(0), terms, {"live": Live("studnt")})
    with refused(ArgumentError, "out_of_range", "students.a.b"):
        Live("a.b")
    live = Live("student")
    with refused(ArgumentError, "not_ready", "student"):
        live({"batch": BATCH})
    Distiller(mlp(0), terms, {"live": live})
    with refused(ArgumentError, "in_use", "teachers.live"):
        Distiller(mlp(0), terms, {"live": live})
