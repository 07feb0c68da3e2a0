"""Several optimizers of one Distiller: state moves once for each training step."""

from __future__ import annotations

import copy

import pytest
import torch

from core.toys import CE, KL, make_batch, mlp
from limbeck.core import Distiller, Linear, Term
from limbeck.errors import ArgumentError
from refusals import refused

BATCH = make_batch(7, dtype=torch.float32)
RISING = Linear(start=0.0, end=1.0, steps=10)


def make(count=2, kind=torch.optim.SGD, **options) -> tuple[Distiller, list[torch.optim.Optimizer]]:
    names = "abc"[:count]
    terms = {f"hard_{name}": Term(CE(), {"student": f"{name}.logits"}, weight=RISING) for name in names}
    terms["mutual"] = Term(KL(), {"student": "a.logits", "teacher": "b.logits"})
    distiller = Distiller({name: mlp(seed, torch.float32) for seed, name in enumerate(names)}, terms)
    optimizers = [kind(distiller.students[name].parameters(), lr=0.1, **options) for name in names]
    distiller.attach(*optimizers)
    return distiller, optimizers


def test_one_for_each_student_counts_once_after_the_last():
    distiller, optimizers = make(3)
    for step in range(3):
        distiller(BATCH).loss().backward()
        for optimizer in optimizers:
            assert distiller.step == step
            optimizer.step()
            optimizer.zero_grad()
        assert distiller.step == step + 1
        assert distiller.terms["hard_a"].weight.item() == pytest.approx(RISING(step + 1))


def test_they_move_what_one_optimizer_for_all_moves():
    several, optimizers = make()
    together = copy.deepcopy(several)
    one = torch.optim.SGD(together.parameters(), lr=0.1)
    together.attach(one)
    for distiller, steppers in ((several, optimizers), (together, [one])):
        for _ in range(3):
            distiller(BATCH).loss().backward()
            for optimizer in steppers:
                optimizer.step()
                optimizer.zero_grad()
    torch.testing.assert_close(dict(several.state_dict()), dict(together.state_dict()))


def test_students_may_be_updated_in_turns_with_a_forward_for_each():
    distiller, optimizers = make()
    for step in range(3):
        for optimizer in optimizers:
            distiller(BATCH).loss().backward()
            assert distiller.step == step
            optimizer.step()
            distiller.zero_grad()
        assert distiller.step == step + 1


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("skipping", [0, 1])
def test_a_training_step_that_one_of_them_skips_counts_once(skipping, fused):
    distiller, optimizers = make(2, torch.optim.AdamW, fused=fused)
    scalers = [torch.amp.GradScaler("cpu", init_scale=8.0) for _ in optimizers]
    spoilt = [False, True, True, False, False]
    for done, overflow in enumerate(spoilt, 1):
        scaled = scalers[0].scale(distiller(BATCH).loss())
        scalers[1].scale(torch.ones(()))
        scaled.backward()
        if overflow:
            next(distiller.students["ab"[skipping]].parameters()).grad[0, 0] = torch.inf
        for scaler, optimizer in zip(scalers, optimizers, strict=True):
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        # Where the last one has skipped, the round is closed when the next one begins.
        assert distiller.step == done - (overflow and skipping == 1)


def test_a_training_step_that_all_of_them_skip_is_none():
    distiller, optimizers = make(2, torch.optim.AdamW)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for overflow in (False, True, False):
        scaler.scale(distiller(BATCH).loss()).backward()
        if overflow:
            for name in "ab":
                next(distiller.students[name].parameters()).grad[0, 0] = torch.inf
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        distiller.zero_grad()
    assert distiller.step == 2


def test_what_cannot_be_right_is_refused():
    distiller = Distiller(mlp(0), {"hard": Term(CE())})
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    with refused(ArgumentError, "duplicate", "optimizers"):
        distiller.attach(optimizer, optimizer)
    with refused(ArgumentError, "missing", "optimizers"):
        distiller.attach()
    distiller.attach(optimizer)
    with refused(ArgumentError, "in_use", "optimizers"):
        distiller.attach(torch.optim.SGD(distiller.parameters(), lr=0.1))
