from __future__ import annotations

import math

import pytest
from torch import nn

from core.toys import KL
from limbeck.core import Constant, Cosine, Linear, Step, Term, as_schedule
from limbeck.errors import ArgumentError
from refusals import refused

STEPS = range(25)


def test_constant():
    assert {Constant(value=0.3)(step) for step in STEPS} == {0.3}


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (2.0, 0.5)])
def test_linear_is_a_straight_line_and_then_flat(start, end):
    schedule = Linear(start=start, end=end, steps=10)
    expected = [start * (1 - t) + end * t for t in (min(step, 10) / 10 for step in STEPS)]
    assert [schedule(step) for step in STEPS] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (2.0, 0.5)])
def test_cosine_is_half_a_period_and_then_flat(start, end):
    schedule = Cosine(start=start, end=end, steps=8)
    # sin²(x / 2) = (1 − cos x) / 2
    expected = [start + (end - start) * math.sin(math.pi * min(step, 8) / 16) ** 2 for step in STEPS]
    assert [schedule(step) for step in STEPS] == pytest.approx(expected, abs=1e-12)


def test_step_multiplies_after_every_so_many_steps():
    schedule = Step(start=2.0, factor=0.5, steps=10)
    assert [schedule(step) for step in STEPS] == [2.0] * 10 + [1.0] * 10 + [0.5] * 5


@pytest.mark.parametrize("kind", [Linear, Cosine])
def test_a_schedule_takes_at_least_one_step(kind):
    with refused(ArgumentError, "out_of_range", "steps"):
        kind(start=0.0, end=1.0, steps=0)


def test_step_takes_at_least_one_step():
    with refused(ArgumentError, "out_of_range", "steps"):
        Step(start=1.0, factor=0.1, steps=0)


def test_numbers_and_callables_are_schedules():
    assert as_schedule(2)(7) == 2.0
    assert as_schedule(lambda step: step * 3)(7) == 21


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf, lambda step: -1.0])
def test_a_weight_is_finite_and_at_least_0(weight):
    with pytest.raises(ArgumentError, match="the weight of a term is"):
        Term(KL(), weight=weight)


def test_a_callable_of_whole_numbers_may_give_fractions_later():
    term = Term(KL(), weight=lambda step: 1 if step == 0 else 1 / (step + 1))
    term.follow_step(1)
    assert term.weight.item() == 0.5


def test_a_weight_that_turns_negative_names_the_step():
    term = Term(KL(), weight=Linear(start=1.0, end=-1.0, steps=2))
    with pytest.raises(ArgumentError, match=r"is -1\.0 at step 2"):
        term.follow_step(2)


def test_half_precision_does_not_round_a_weight():
    module = nn.ModuleList([Term(KL(), weight=0.1)])
    for dtype in ("half", "bfloat16", "double"):
        getattr(module, dtype)()
        assert module[0].weight.item() == pytest.approx(0.1, abs=1e-8)
    assert module.to("meta")[0].weight.is_meta
