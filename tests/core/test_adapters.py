"""State of modules inside a student, which follows the optimizer step."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from core.toys import CE, HIDDEN, KL, make_batch, mlp
from limbeck.core import Distiller, Term
from limbeck.teachers import EMA, Frozen, Live

BATCH = make_batch(8, dtype=torch.float32)


class Observer(nn.Module):
    """The range of what passes, as quantization-aware training gathers it; it moves after the step alone."""

    largest: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.zeros(()))
        self.staged = torch.zeros(())
        self.share = 0.0
        self.steps: list[int] = []

    def forward(self, inputs):
        self.staged = torch.maximum(self.staged, inputs.detach().abs().max())
        return inputs

    def after_step(self, step):
        self.steps.append(step)
        self.largest.copy_(self.staged)
        self.staged = torch.zeros(())

    def follow_step(self, step):
        self.share = step / 10


def observed() -> nn.Sequential:
    model = mlp(0, torch.float32)
    return nn.Sequential(model[0], Observer(), model[1], model[2])


def make(model: nn.Module | None = None) -> tuple[Distiller, torch.optim.Optimizer]:
    distiller = Distiller(observed() if model is None else model, {"hard": Term(CE())})
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller.attach(optimizer)
    return distiller, optimizer


def adapter(distiller: Distiller) -> Observer:
    return distiller.students["student"].model[1]


def test_an_adapter_moves_once_for_each_optimizer_step():
    distiller, optimizer = make()
    for step in range(3):
        parts = [{name: value[rows] for name, value in BATCH.items()} for rows in (slice(4), slice(4, 8))]
        counts = distiller.prepare([BATCH]).counts(parts) if step == 0 else distiller.counts(parts)
        adapter(distiller).staged = torch.zeros(())
        seen = [distiller.students["student"].model[0](BATCH["inputs"]).abs().max()]
        for part in parts:
            distiller(part).loss(counts).backward()
            assert adapter(distiller).steps == list(range(1, step + 1))
        optimizer.step()
        optimizer.zero_grad()
        torch.testing.assert_close(adapter(distiller).largest, seen[0].detach())
    assert adapter(distiller).steps == [1, 2, 3]
    assert adapter(distiller).share == pytest.approx(0.3)


def test_what_follows_the_step_follows_a_loaded_one():
    distiller, optimizer = make()
    for _ in range(4):
        distiller(BATCH).loss().backward()
        optimizer.step()
    fresh, _ = make()
    fresh.load_state_dict(distiller.state_dict())
    assert adapter(fresh).share == pytest.approx(0.4)
    assert adapter(fresh).steps == []
    assert torch.equal(adapter(fresh).largest, adapter(distiller).largest)


def test_a_step_that_is_skipped_moves_nothing():
    distiller, optimizer = make()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for overflow in (False, True):
        scaler.scale(distiller(BATCH).loss()).backward()
        if overflow:
            next(distiller.students["student"].parameters()).grad[0, 0] = torch.inf
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert adapter(distiller).steps == [1]


def test_one_that_two_students_share_moves_once():
    shared = Observer()
    students = {name: nn.Sequential(mlp(seed, torch.float32), shared) for seed, name in enumerate(("student", "other"))}
    terms = {"one": Term(CE()), "two": Term(CE(), {"student": "other.logits"})}
    distiller = Distiller(students, terms)
    distiller.after_step()
    assert shared.steps == [1]


def test_copies_that_teach_follow_and_do_not_move_by_themselves():
    terms = {"hard": Term(CE()), "soft": Term(KL()), "live": Term(KL(), {"teacher": "live.logits"})}
    frozen = observed()
    teachers = {"teacher": EMA("student", decay=0.5, warm_up=False), "live": Live("student"), "frozen": Frozen(frozen)}
    terms["frozen"] = Term(KL(), {"teacher": "frozen.logits"})
    distiller = Distiller(observed(), terms, teachers)
    distiller(BATCH)
    distiller.after_step()
    assert adapter(distiller).steps == [1]
    assert frozen[1].steps == []
    assert distiller.teachers["teacher"].model.model[1].steps == []


def test_gradients_are_there_when_an_adapter_moves():
    """Movement pruning scores a weight by its gradient."""

    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(HIDDEN, 4)
            self.scores = torch.zeros(4, HIDDEN)

        def forward(self, inputs):
            return self.layer(inputs)

        def after_step(self, step):
            self.scores -= self.layer.weight * self.layer.weight.grad

    model = nn.Sequential(*mlp(0, torch.float32)[:2], Scores())
    distiller, optimizer = make(model)
    twin = copy.deepcopy(model)
    distiller(BATCH).loss().backward()
    optimizer.step()
    nn.functional.cross_entropy(twin(BATCH["inputs"]), BATCH["target"]).backward()
    gradient = twin[2].layer.weight.grad
    torch.testing.assert_close(model[2].scores, -(twin[2].layer.weight - 0.1 * gradient).detach() * gradient)
