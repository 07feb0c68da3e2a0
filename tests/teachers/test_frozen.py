from __future__ import annotations

import copy

import torch
from torch import nn

from core.toys import KL, make_batch, mlp
from limbeck.core import Distiller, Tapped, Teacher, Term
from limbeck.errors import ArgumentError
from limbeck.registry import lookup
from limbeck.teachers import Frozen
from refusals import refused

BATCH = make_batch(5)
BOARD = {"batch": BATCH, "student": {"features": make_batch(5, seed=9)["inputs"]}}


def test_it_gives_what_the_model_gives_without_gradient():
    outputs = Frozen(mlp(1), {"hidden": "1"})(BOARD)
    torch.testing.assert_close(outputs["logits"], mlp(1)(BATCH["inputs"]).detach())
    assert outputs["hidden"].shape == (5, 8)
    assert not any(output.requires_grad for output in outputs.values())


def test_a_tapped_model_keeps_its_taps_and_one_more_may_come():
    tapped = Tapped(mlp(1), {"hidden": "1"}, inputs="batch.other")
    teacher = Frozen(tapped)
    assert teacher.model is tapped
    assert teacher.reads == ("batch.inputs",)
    assert set(teacher(BOARD)) == {"logits", "hidden"}
    assert set(Frozen(tapped, {"first": "model.0"})(BOARD)) == {"logits", "hidden", "first"}


def test_it_reads_where_it_is_told():
    teacher: Teacher = Frozen(mlp(1), inputs="student.features")
    assert teacher.reads == ("student.features",)
    expected = mlp(1)(BOARD["student"]["features"]).detach()
    torch.testing.assert_close(teacher(BOARD)["logits"], expected)


def test_what_it_is_fed_with_is_preprocessed():
    scale = nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5)).double()
    scale[0].running_mean.fill_(2.0)
    teacher = Frozen(mlp(1), preprocess=scale)
    expected = mlp(1)((BATCH["inputs"] - 2) / (1 + 1e-5) ** 0.5).detach()
    torch.testing.assert_close(teacher.train()(BOARD)["logits"], expected)
    assert list(teacher.parameters()) == list(teacher.buffers()) == list(teacher.state_dict()) == []
    assert {p.dtype for p in teacher.float()._hidden[1].parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in scale.parameters())


def test_its_model_is_hidden():
    teacher = Frozen(nn.Sequential(mlp(1), nn.BatchNorm1d(4).double()))
    assert list(teacher.parameters()) == list(teacher.buffers()) == list(teacher.state_dict()) == []
    assert not any(p.requires_grad for p in teacher.model.parameters())


def test_it_uses_the_running_statistics_and_drops_nothing_out():
    model = nn.Sequential(mlp(1), nn.BatchNorm1d(4).double(), nn.Dropout(0.5))
    model[1].running_mean.fill_(2.0)
    teacher = Frozen(model)
    state = copy.deepcopy(model.state_dict())
    for mode in (True, False):
        teacher.train(mode)
        expected = (mlp(1)(BATCH["inputs"]) - 2) / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(teacher(BOARD)["logits"], expected.detach())
    model.train()
    torch.testing.assert_close(teacher(BOARD)["logits"], expected.detach())
    torch.testing.assert_close(dict(model.state_dict()), dict(state), rtol=0, atol=0)


def test_it_follows_to_a_dtype_and_a_device():
    parent = nn.ModuleList([Frozen(mlp(1))])
    model = parent[0].model
    assert next(parent.float()[0].model.parameters()).dtype == torch.float32
    assert next(parent.bfloat16()[0].model.parameters()).dtype == torch.bfloat16
    assert next(parent.to("meta")[0].model.parameters()).is_meta
    assert parent[0].model is model


def test_a_differentiable_one_gives_gradients_of_its_taps_and_inputs_but_not_of_its_weights():
    model = mlp(1)
    teacher = Frozen(model, {"before": "0", "hidden": "1"}, differentiable=True)
    outputs = teacher(BOARD)
    found = torch.autograd.grad(outputs["logits"].square().sum(), [outputs["before"], outputs["hidden"]])
    before = (BATCH["inputs"] @ model[0].weight.T + model[0].bias).requires_grad_()
    hidden = before.tanh()
    expected = torch.autograd.grad((hidden @ model[2].weight.T + model[2].bias).square().sum(), [before, hidden])
    torch.testing.assert_close(found, expected)
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert not BATCH["inputs"].requires_grad
    with torch.no_grad():
        assert not teacher(BOARD)["logits"].requires_grad


def test_a_tap_that_gives_its_input_leaves_the_batch_alone():
    teacher = Frozen(nn.Sequential(nn.Identity(), mlp(1)), {"same": "0"}, differentiable=True)
    outputs = teacher(BOARD)
    assert outputs["same"].requires_grad
    assert torch.autograd.grad(outputs["logits"].sum(), outputs["same"])[0].abs().sum() > 0
    assert not BATCH["inputs"].requires_grad


def test_a_copy_is_independent():
    teacher = Frozen(mlp(1), {"hidden": "1"})
    before = teacher(BOARD)["logits"]
    twin = copy.deepcopy(teacher)
    twin.model.model[0].weight.zero_()
    assert not torch.equal(twin(BOARD)["logits"], before)
    assert torch.equal(teacher(BOARD)["logits"], before)


def test_a_student_that_is_also_the_teacher_is_refused():
    model = mlp(0)
    with refused(
        ArgumentError,
        "conflict",
        "teachers.teacher",
        match=r"share the whole model: .*; give one of them a copy\.deepcopy",
    ):
        Distiller(model, {"soft": Term(KL())}, {"teacher": Frozen(model)})


def test_bad_taps_are_refused_when_built():
    with refused(ArgumentError, "unknown_name", "taps.hidden"):
        Frozen(mlp(1), {"hidden": "block"})


def test_its_name():
    assert lookup("teacher", "frozen") is Frozen
