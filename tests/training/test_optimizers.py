"""Optimizers of torch by name, and learning rates against closed forms and torch's schedulers."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.optimizer import register_optimizer_step_pre_hook

from limbeck.core import Distiller, Term
from limbeck.errors import ArgumentError
from limbeck.losses import CrossEntropy
from limbeck.training.optimizers import make_optimizer, make_optimizers, rate_factor
from limbeck.training.settings import Settings
from training.toys import MLP, Place, make_job, settings

UNSUITED = {"LBFGS", "SparseAdam", "Optimizer"}
OPTIMIZERS = sorted(
    name
    for name, found in inspect.getmembers(torch.optim, inspect.isclass)
    if issubclass(found, torch.optim.Optimizer) and name not in UNSUITED
)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_torch_trains(tmp_path, name):
    """Through the loop, so that Accelerate, the schedule and `attach` take it too; Muon is for matrices alone."""
    model = MLP(bias=False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    job = make_job(settings(optimizer=name, epochs=1), model=model)
    weights = Place(tmp_path).fit(job)
    assert all(value.isfinite().all() for value in weights.values())
    assert all(not torch.equal(value, before[key]) for key, value in weights.items())
    assert job.distiller.step == 5


@pytest.mark.parametrize("name", ["AdamW", "adamw", "ADAMW"])
def test_names_in_any_case(name):
    assert type(make_optimizer(settings(optimizer=name), MLP().parameters())) is torch.optim.AdamW


def test_options_reach_the_optimizer():
    options = {"betas": [0.8, 0.9], "eps": 1e-6, "fused": False}
    optimizer = make_optimizer(settings(optimizer_options=options, weight_decay=0.3), MLP().parameters())
    group = optimizer.param_groups[0]
    assert (group["betas"], group["eps"], group["weight_decay"], group["lr"]) == ((0.8, 0.9), 1e-6, 0.3, 2e-3)


def test_weight_decay_only_where_there_is_one():
    assert "weight_decay" not in make_optimizer(settings(optimizer="rprop"), MLP().parameters()).defaults


def test_frozen_parameters_stay_out():
    model = MLP()
    model[1].requires_grad_(False)
    optimizer = make_optimizer(settings(), model.parameters())
    assert [p.shape for p in optimizer.param_groups[0]["params"]] == [model[4].weight.shape, model[4].bias.shape]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamq"}, "no optimizer 'adamq'. Did you mean 'adam"),
        ({"optimizer": "lbfgs"}, "no optimizer 'lbfgs'. "),
        (
            {"optimizer": "sgd", "optimizer_options": {"momentun": 0.9}},
            "sgd takes no 'momentun'. Did you mean 'momentum'",
        ),
        ({"optimizer_options": {"params": []}}, "takes no 'params'"),
        ({"optimizer_options": {"lr": 0.1}}, "lr follows the schedule; set learning_rate"),
        ({"optimizer": "sgd", "optimizer_options": {"momentum": -1}}, "optimizer sgd: Invalid momentum value: -1"),
        ({"optimizer": "sgd", "optimizer_options": {"nesterov": True}}, "optimizer sgd: Nesterov momentum requires"),
        ({"optimizer_options": {"betas": 3}}, "optimizer adamw: "),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ArgumentError) as caught:
        make_optimizer(settings(**changes), MLP().parameters())
    assert message in str(caught.value)


TOTAL = 200


def factors(schedule: str, warmup: float = 0.0, total: int = TOTAL) -> list[float]:
    return [rate_factor(Settings(schedule=schedule, warmup=warmup), step, total) for step in range(total)]


def of_torch(make, steps: int = TOTAL) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        ("constant", lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        ("cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL)),
        ("linear", lambda o: lr_scheduler.PolynomialLR(o, total_iters=TOTAL, power=1.0)),
        ("step", lambda o: lr_scheduler.MultiStepLR(o, milestones=[TOTAL // 2, TOTAL * 3 // 4], gamma=0.1)),
        ("exponential", lambda o: lr_scheduler.ExponentialLR(o, gamma=0.01 ** (1 / TOTAL))),
    ],
)
def test_the_schedulers_of_torch(schedule, make):
    assert factors(schedule) == pytest.approx(of_torch(make), abs=1e-9)


def test_one_cycle_is_that_of_torch_but_for_where_a_step_ends():
    """Torch reaches peak and end one step earlier; the shapes are the same."""
    mine = factors("one_cycle")
    theirs = of_torch(lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=TOTAL + 1, cycle_momentum=False))
    assert mine == pytest.approx(theirs, abs=0.02)
    assert mine[0] == pytest.approx(0.04)
    assert max(mine) == mine[60] == 1.0
    assert rate_factor(Settings(schedule="one_cycle", warmup=0), TOTAL, TOTAL) == pytest.approx(0.0)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "step", "exponential", "one_cycle"])
def test_warmup_is_a_line_in_front(schedule):
    warmed = factors(schedule, warmup=0.2)
    assert warmed[:40] == pytest.approx([(step + 1) / 40 for step in range(40)])
    assert warmed[40:] == pytest.approx(factors(schedule, total=160))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "step", "exponential", "one_cycle"])
@pytest.mark.parametrize("total", [1, 2, 3, 17])
def test_short_trainings(schedule, total):
    for warmup in (0.0, 0.05, 0.5, 0.99):
        found = factors(schedule, warmup, total)
        assert all(math.isfinite(factor) and 0 <= factor <= 1 + 1e-12 for factor in found)
        assert found[0] > 0


def test_the_loop_sets_the_rate_of_every_step(tmp_path):
    job = make_job(settings(schedule="cosine", warmup=0.2, learning_rate=0.5, optimizer="sgd"))
    seen = []
    handle = register_optimizer_step_pre_hook(lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"]))
    try:
        Place(tmp_path).fit(job)
    finally:
        handle.remove()
    assert seen == pytest.approx([0.5 * rate_factor(job.settings, step, 10) for step in range(10)])


def test_students_with_optimizers_of_their_own():
    """Every parameter is in one optimizer; what two students share is the first one's."""
    a, b, c = (MLP() for _ in range(3))
    c[1] = b[1]
    terms = {name: Term(CrossEntropy(), {"student": f"{name}.logits"}) for name in ("student", "b", "c")}
    distiller = Distiller({"student": a, "b": b, "c": c}, terms)
    own = {"b": settings(optimizer="sgd", learning_rate=0.5), "c": settings(weight_decay=0.7)}
    main, of_b, of_c = make_optimizers(settings(), own, distiller)
    assert (type(main), type(of_b), type(of_c)) == (torch.optim.AdamW, torch.optim.SGD, torch.optim.AdamW)
    assert of_c.param_groups[0]["weight_decay"] == 0.7
    held = [{id(p) for group in one.param_groups for p in group["params"]} for one in (main, of_b, of_c)]
    assert held[0] == {id(p) for p in a.parameters()}
    assert held[1] == {id(p) for p in b.parameters()}
    assert held[2] == {id(p) for p in c.parameters()} - held[1]
    with pytest.raises(ArgumentError, match="student 'b': no optimizer 'sdg'"):
        make_optimizers(settings(), {"b": settings(optimizer="sdg")}, distiller)
