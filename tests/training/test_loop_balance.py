"""Weights that move: logged as they were in the step, and resumed to the bit."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from limbeck.core import Balance, Distiller, GradientNorm, Linear, Term, Uncertainty
from limbeck.losses import CrossEntropy, Curriculum, KLDivergence
from limbeck.teachers import Frozen
from limbeck.training.loop import Job
from training.toys import MLP, Place, StoppedError, make_job, settings, stopping


def job(balance: Balance | None, **changes: Any) -> Job:
    teacher = MLP()
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(2.0)
    terms = {
        "hard": Term(CrossEntropy(), weight=Linear(start=1.0, end=0.5, steps=10)),
        "soft": Term(KLDivergence(temperature=Linear(start=4.0, end=1.0, steps=6))),
        "hot": Term(KLDivergence(temperature=Curriculum(steps=3)), weight=0.5),
    }
    made = make_job(settings(**changes))
    return dataclasses.replace(made, distiller=Distiller(MLP(), terms, {"teacher": Frozen(teacher)}, balance=balance))


BALANCES = {"none": lambda: None, "gradient_norm": lambda: GradientNorm(every=2), "uncertainty": Uncertainty}


@pytest.mark.parametrize("name", BALANCES)
def test_the_log_has_what_was_in_force_in_the_step(tmp_path: Path, name: str) -> None:
    place, mine = Place(tmp_path), job(BALANCES[name]())
    place.fit(copy.deepcopy(mine))
    # The first steps again, by hand: the log must have the weights and temperatures that they trained with.
    distiller = mine.distiller.train()
    for number, event in enumerate(place.events()[:1]):
        batch = next(mine.batches.iterate(number, number + 1))
        out = distiller(batch)
        weights = {name: float(value.item()) for name, value in out.weights.per_term.items()}
        assert event["weights"] == pytest.approx(weights, rel=1e-5)
        assert event["loss"] == pytest.approx(out.loss().item(), abs=1e-6)
    events = place.events()
    assert [event["temperatures"]["soft"] for event in events] == pytest.approx(
        [max(1.0, 4.0 - 0.5 * step) for step in range(10)]
    )
    assert all(15.0 < event["temperatures"]["hot"] < 16.0 for event in events)
    if name == "none":
        assert [event["weights"] for event in events] == [
            {"hard": pytest.approx(1.0 - 0.05 * step), "soft": 1.0, "hot": 0.5} for step in range(10)
        ]
    assert ("gradient_norms" in events[0], "gradient_norms" in events[1]) == (False, name == "gradient_norm")


def test_the_logged_norms_are_those_of_the_logged_weights(tmp_path: Path) -> None:
    place, mine = Place(tmp_path), job(GradientNorm(smoothing=0.0))
    place.fit(copy.deepcopy(mine))
    first, second = place.events()[:2]
    norms, own = second["gradient_norms"], {"hard": 0.95, "soft": 1.0, "hot": 0.5}
    inverse = {name: 1 / norm for name, norm in norms.items()}
    expected = {name: own[name] * value / sum(inverse.values()) for name, value in inverse.items()}
    assert second["weights"] == pytest.approx(expected, rel=1e-5)
    assert first["weights"] == pytest.approx({"hard": 1 / 3, "soft": 1 / 3, "hot": 1 / 6}, rel=1e-5)
    batch = next(mine.batches.iterate(0, 1))
    logits = mine.distiller.students["student"].model(batch["inputs"]).detach().requires_grad_()
    F.cross_entropy(logits, batch["target"]).backward()
    assert norms["hard"] == pytest.approx(logits.grad.norm().item(), rel=1e-4)


@pytest.mark.parametrize("name", ["gradient_norm", "uncertainty"])
def test_micro_batches_change_neither_weights_nor_log(tmp_path: Path, name: str) -> None:
    whole, split = Place(tmp_path / "whole"), Place(tmp_path / "split")
    expected, found = whole.fit(job(BALANCES[name]())), split.fit(job(BALANCES[name](), accumulate=2))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for one, other in zip(whole.events(), split.events(), strict=True):
        assert other["weights"] == pytest.approx(one["weights"], rel=1e-3)
        assert other.get("gradient_norms", {}) == pytest.approx(one.get("gradient_norms", {}), rel=1e-3)


@pytest.mark.parametrize("step", [1, 4, 7])
@pytest.mark.parametrize("name", BALANCES)
def test_a_stage_goes_on_from_its_checkpoint(tmp_path: Path, name: str, step: int) -> None:
    def make() -> Job:
        return job(BALANCES[name](), checkpoint_every=0)

    whole, broken = Place(tmp_path / "whole"), Place(tmp_path / "broken")
    expected = whole.fit(make())
    with pytest.raises(StoppedError):
        broken.fit(stopping(make(), step))
    torch.testing.assert_close(broken.fit(make()), expected, rtol=0, atol=0)
    logs = [[{**event, "seconds": None} for event in place.events()] for place in (whole, broken)]
    assert logs[0] == logs[1]
