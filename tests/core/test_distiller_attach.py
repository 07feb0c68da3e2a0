"""State moves once per real optimizer step."""

from __future__ import annotations

import copy

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from core.toys import CE, KL, make_batch, mlp
from limbeck.core import Cosine, Distiller, Linear, Term, Weights
from limbeck.errors import ArgumentError
from limbeck.teachers import Frozen
from refusals import refused

BATCH = make_batch(7, dtype=torch.float32)
FALLING, RISING = Linear(start=1.0, end=0.0, steps=4), Cosine(start=0.0, end=1.0, steps=4)


def make_distiller(**options) -> Distiller:
    terms = {"hard": Term(CE(), weight=FALLING), "soft": Term(KL(), weight=RISING)}
    return Distiller(mlp(0, torch.float32), terms, {"teacher": Frozen(mlp(1, torch.float32))}, **options)


def train(distiller: Distiller, optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        distiller(BATCH).loss().backward()
        optimizer.step()


def weights(distiller: Distiller) -> list[float]:
    return [term.weight.item() for term in distiller.terms.values()]


def expected_weights(step: int) -> list[float]:
    return pytest.approx([FALLING(step), RISING(step)], abs=1e-7)


def test_schedules_follow_the_step():
    distiller = make_distiller()
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    assert distiller.attach(optimizer) is distiller
    for step in range(6):
        assert distiller.step == step
        assert weights(distiller) == expected_weights(step)
        out = distiller(BATCH)
        by_hand = FALLING(step) * out.terms["hard"].value + RISING(step) * out.terms["soft"].value
        torch.testing.assert_close(out.loss(), by_hand)
        train(distiller, optimizer, 1)


def test_forward_and_backward_move_nothing():
    distiller = make_distiller()
    before = copy.deepcopy(distiller.state_dict())
    for _ in range(3):
        distiller(BATCH).loss().backward()
    torch.testing.assert_close(dict(distiller.state_dict()), dict(before), rtol=0, atol=0)


def test_the_state_holds_step_and_weights():
    distiller = make_distiller()
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller.attach(optimizer)
    train(distiller, optimizer, 3)
    fresh = make_distiller()
    fresh.load_state_dict(distiller.state_dict())
    assert fresh.step == 3
    assert weights(fresh) == expected_weights(3)
    fresh.after_step()
    assert weights(fresh) == expected_weights(4)


def test_a_loaded_state_does_not_bring_back_another_recipe_s_weights():
    old = Distiller(mlp(0, torch.float32), {"hard": Term(CE(), weight=0.3)})
    new = Distiller(mlp(0, torch.float32), {"hard": Term(CE(), weight=0.7)})
    new.load_state_dict(old.state_dict())
    new.after_step()
    assert new.terms["hard"].weight.item() == pytest.approx(0.7)


def test_attaching_twice_is_refused():
    distiller = make_distiller()
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller.attach(optimizer)
    with refused(ArgumentError, "in_use", "optimizers"):
        distiller.attach(optimizer)


def test_a_copy_is_not_attached():
    distiller = make_distiller()
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller.attach(optimizer)
    twin = copy.deepcopy(distiller)
    train(distiller, optimizer, 2)
    assert (distiller.step, twin.step) == (2, 0)
    other = torch.optim.SGD(twin.parameters(), lr=0.1)
    twin.attach(other)
    train(twin, other, 1)
    assert (distiller.step, twin.step) == (2, 1)


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_a_grad_scaler_skips_does_not_count(fused):
    distiller = make_distiller()
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=0.1, fused=fused)
    distiller.attach(optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    first = next(distiller.parameters())
    for step, overflow in enumerate([False, True, True, False]):
        optimizer.zero_grad()
        scaler.scale(distiller(BATCH).loss()).backward()
        if overflow:
            first.grad[0, 0] = torch.inf
        before, weight = distiller.step.item(), first.detach().clone()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(first, weight) == overflow
        assert distiller.step == before + (not overflow), step
    assert weights(distiller) == expected_weights(2)


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_optimizer_that_accelerate_hands_out(when):
    accelerator = Accelerator(cpu=True)
    distiller = make_distiller()
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    if when == "before":
        distiller.attach(optimizer)
    model, wrapped = accelerator.prepare(distiller, optimizer)
    if when == "after":
        distiller.attach(wrapped)
    for _ in range(3):
        wrapped.zero_grad()
        accelerator.backward(model(BATCH).loss())
        wrapped.step()
    assert distiller.step == 3
    assert weights(distiller) == expected_weights(3)


class Listener(nn.Module):
    """Any part of a Distiller that has an after_step."""

    reads = ("batch.inputs",)

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []
        self.grad: list[bool] = []

    def after_step(self, step: int) -> None:
        self.steps.append(step)
        self.grad.append(torch.is_grad_enabled())


class Teacher(Listener):
    def forward(self, board):
        return {"logits": board["batch"]["inputs"][:, :4]}


class Loss(Listener):
    def forward(self, student, teacher):
        return (student - teacher).square().mean(-1)


class Balance(Listener):
    def forward(self, means, board):
        return Weights(dict.fromkeys(means, 1.0))


def test_teachers_losses_and_balance_hear_of_the_step_once_each():
    teacher, loss, balance = Teacher(), Loss(), Balance()
    terms = {"one": Term(loss), "two": Term(loss)}
    distiller = Distiller(mlp(0, torch.float32), terms, {"teacher": teacher}, balance=balance)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller.attach(optimizer)
    train(distiller, optimizer, 3)
    assert teacher.steps == loss.steps == balance.steps == [1, 2, 3]
    assert not any(teacher.grad + loss.grad + balance.grad)


def test_a_student_and_the_modules_inside_it_hear_of_the_step():
    class Student(nn.Sequential):
        def after_step(self, step):
            heard.append(("student", step))

    class Layer(nn.Linear):
        def follow_step(self, step):
            heard.append(("layer", step))

    heard = []
    distiller = Distiller(Student(Layer(6, 4)), {"hard": Term(CE())})
    distiller.after_step()
    assert distiller.step == 1
    assert heard == [("student", 1), ("layer", 1)]


def test_what_a_loss_adds_in_prepare_hears_of_the_step_too():
    class Growing(Loss):
        def prepare(self, samples):
            self.bank = Listener()

    loss = Growing()
    distiller = Distiller(mlp(0, torch.float32), {"one": Term(loss, {"teacher": "batch.other"})})
    distiller.after_step()
    distiller.prepare([{**BATCH, "other": torch.zeros(7, 4)}])
    distiller.after_step()
    assert (loss.steps, loss.bank.steps) == ([1, 2], [2])
