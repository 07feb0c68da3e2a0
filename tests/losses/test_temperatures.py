"""Temperatures that move, in every loss that softens."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.losses import Curriculum, KLDivergence, batch_law
from losses.cases import CASES
from losses.conformance import tensors
from oracles.curriculum import reversal, temperature
from oracles.kl_divergence import kl_divergence as kl_oracle

PLAIN = next(case for case in CASES if case.name == "kl_divergence")


def follow(module: nn.Module, step: int) -> None:
    with torch.no_grad():
        for part in module.modules():
            if hasattr(part, "follow_step"):
                part.follow_step(step)


@pytest.mark.parametrize(("rows", "expected"), [(64, 4.0), (1024, 2.0), (4, 8.0)])
def test_the_batch_law(rows: int, expected: float) -> None:
    result = batch_law(temperature=4.0, reference_batch_size=64, batch_size=rows)
    assert result == pytest.approx(expected, rel=1e-15)
    assert KLDivergence(temperature=result).current_temperature == result


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"reference_batch_size": 0}, {"batch_size": 0}])
def test_the_batch_law_rejects(options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=f"batch_law: {next(iter(options))} is 0"):
        batch_law(**{"temperature": 4.0, "reference_batch_size": 64, "batch_size": 64, **options})


@pytest.mark.parametrize("step", [0, 1, 3, 8, 20])
def test_the_gradient_of_a_learned_temperature_is_reversed_by_its_share(step: int) -> None:
    learned = Curriculum(steps=8, lowest=1.5, highest=9.0).double()
    loss = KLDivergence(temperature=learned)
    values = tensors(PLAIN.arrays())
    student, teacher = (values[name].detach() for name in ("student", "teacher"))
    follow(loss, step)
    with torch.no_grad():
        learned.level.fill_(-0.4)

    def by_hand(level: float) -> float:
        value = kl_oracle(student.numpy(), teacher.numpy(), temperature=temperature(level, 1.5, 9.0))
        return float(value.sum())

    value = loss(student, teacher).sum()
    value.backward()
    assert value.item() == pytest.approx(by_hand(-0.4), rel=1e-12)
    slope = (by_hand(-0.4 + 1e-5) - by_hand(-0.4 - 1e-5)) / 2e-5
    assert abs(slope) > 1e-3
    assert learned.level.grad.item() == pytest.approx(-reversal(step, 8) * slope, rel=1e-7, abs=1e-12)


def test_a_learned_temperature_begins_and_stays_where_the_authors_have_it() -> None:
    learned = Curriculum(steps=10)
    assert learned().item() == pytest.approx(1 + 20 / (1 + math.exp(-1)), rel=1e-6)
    for level, end in ((-200.0, 1.0), (200.0, 21.0)):
        with torch.no_grad():
            learned.level.fill_(level)
        assert learned().item() == end


@pytest.mark.parametrize("options", [{"steps": 0}, {"lowest": 0.0}, {"highest": 1.0}, {"highest": math.inf}])
def test_a_learned_temperature_rejects(options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=f"curriculum: .*{options[next(iter(options))]}"):
        Curriculum(**{"steps": 10, **options})
