"""Temperatures that move, in every loss that softens."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from core.toys import CE, make_batch, mlp
from limbeck.core import Cosine, Distiller, Linear, Step, Term
from limbeck.errors import ArgumentError
from limbeck.functional import channel_wise, dist, kl_divergence
from limbeck.losses import Curriculum, KLDivergence
from limbeck.losses._temperature import TemperatureLoss
from limbeck.registry import lookup
from limbeck.teachers import Frozen
from losses.cases import CASES
from losses.conformance import LossCase, difference, gradients, tensors
from refusals import refused

FALLING = Cosine(start=7.3, end=1.1, steps=5)
SOFTENED = [case for case in CASES if isinstance(case.build(), TemperatureLoss)]


def with_temperature(case: LossCase, value: object) -> nn.Module:
    loss: nn.Module = lookup("loss", case.name)(**{**case.options, "temperature": value})
    if hasattr(loss, "prepare"):
        torch.manual_seed(0)
        loss.prepare([tensors(case.arrays(), torch.float32)])
    return loss


def follow(module: nn.Module, step: int) -> None:
    with torch.no_grad():
        for part in module.modules():
            if hasattr(part, "follow_step"):
                part.follow_step(step)


def test_all_losses_between_softmaxes_are_tried() -> None:
    assert {case.name for case in SOFTENED} >= {
        *("kl_divergence", "soft_cross_entropy", "reverse_kl", "generalized_jsd", "total_variation"),
        *("decoupled_kd", "dist", "weighted_soft_label", "binary_kd", "channel_wise"),
    }


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", SOFTENED, ids=str)
def test_a_schedule_gives_the_oracles_value_at_its_temperature(case: LossCase, dtype: torch.dtype) -> None:
    loss, arrays = with_temperature(case, FALLING).to(dtype), case.arrays()
    for step in (0, 3, 9):
        follow(loss, step)
        at = dataclasses.replace(case, options={**case.options, "temperature": FALLING(step)})
        value = loss(**tensors(arrays, dtype))
        assert value.dtype == dtype
        bound = (case.float64, 1e-5)[dtype == torch.float32]
        assert difference(value, at.oracle(loss, arrays)) < bound


@pytest.mark.parametrize("learned", [False, True], ids=["scheduled", "learned"])
@pytest.mark.parametrize("case", list({case.name: case for case in SOFTENED}.values()), ids=str)
def test_a_moving_temperature_is_one_graph(case: LossCase, learned: bool) -> None:
    curriculum = Curriculum(steps=4)
    loss, values = with_temperature(case, curriculum if learned else FALLING).double(), tensors(case.arrays())
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    seen = set()
    for step in range(4):
        follow(loss, step)
        with torch.no_grad():
            curriculum.level += 0.5
        expected, value = loss(**values), compiled(**values)
        assert difference(value, expected.detach()) < 1e-12
        assert difference(gradients(value, values)["student"], gradients(expected, values)["student"]) < 1e-12
        seen.add(expected.sum().item())
    assert len(seen) == 4
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_functions_take_a_tensor_and_differentiate_it() -> None:
    student, teacher = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    t = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.equal(
        kl_divergence(student, teacher, temperature=t.detach()), kl_divergence(student, teacher, temperature=3.0)
    )
    assert torch.autograd.gradcheck(lambda t: kl_divergence(student, teacher, temperature=t), (t,))
    for wrong in (torch.ones(2), torch.tensor(2)):
        with pytest.raises(ArgumentError, match=r"kl_divergence: temperature is torch.* expected one floating number"):
            kl_divergence(student, teacher, temperature=wrong)


ROWWISE = [case for case in SOFTENED if case.name not in ("dist", "channel_wise")]


@pytest.mark.parametrize("case", ROWWISE, ids=str)
def test_every_row_may_have_its_own(case: LossCase) -> None:
    """In place of the loss's own, with the T² of the row: what the loss gives the row alone at this temperature."""
    arrays = case.arrays()
    rows = len(arrays["student"])
    temperatures = torch.linspace(0.7, 6.0, rows, dtype=torch.float64)
    loss, values = case.build(), tensors(arrays)
    value = loss(**values, temperature=temperatures)
    gradient = gradients(value, values)["student"]
    for row, own in enumerate(temperatures.tolist()):
        alone = {
            name: given[row : row + 1].detach().requires_grad_(given.requires_grad) for name, given in values.items()
        }
        expected = with_temperature(case, own).double()(**alone)
        torch.testing.assert_close(value[row : row + 1], expected)
        torch.testing.assert_close(gradient[row : row + 1], gradients(expected, alone)["student"])
    equal = loss(**values, temperature=torch.full((rows,), 3.0, dtype=torch.float64))
    torch.testing.assert_close(equal, with_temperature(case, 3.0).double()(**values), rtol=0, atol=0)


def test_rows_of_several_axes_have_one_each() -> None:
    student, teacher = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    temperatures = 1 + torch.rand(2, 3)
    value = kl_divergence(student, teacher, temperature=temperatures)
    flat = kl_divergence(student.flatten(0, 1), teacher.flatten(0, 1), temperature=temperatures.flatten())
    torch.testing.assert_close(value.flatten(), flat)
    with pytest.raises(ArgumentError, match=r"of shape \[2\], expected one .* or \[2, 3\] with one for each row"):
        kl_divergence(student, teacher, temperature=temperatures[:, 0])


def test_row_temperatures_and_a_schedule_together_are_rejected() -> None:
    loss, logits = KLDivergence(temperature=Curriculum(steps=1)), torch.zeros(2, 3)
    with refused(ArgumentError, "no_effect", "temperature"):
        loss(logits, logits, temperature=torch.ones(2))


def test_losses_that_mix_rows_take_none_of_rows() -> None:
    logits, maps = torch.randn(4, 5), torch.randn(4, 5, 2, 2)
    for call in (dist, channel_wise):
        inputs = (logits, logits) if call is dist else (maps, maps)
        with refused(ArgumentError, "wrong_shape", "temperature"):
            call(*inputs, temperature=torch.ones(4))


def test_a_schedule_that_falls_to_0_names_the_step() -> None:
    with pytest.raises(ArgumentError, match=r"kl_divergence, at step 0: temperature is 0\.0"):
        KLDivergence(temperature=Linear(start=0.0, end=1.0, steps=2))
    loss = KLDivergence(temperature=Linear(start=1.0, end=-1.0, steps=4))
    with pytest.raises(ArgumentError, match=r"kl_divergence, at step 3: temperature is -0\.5"):
        follow(loss, 3)


def make() -> tuple[Distiller, torch.optim.Optimizer]:
    terms = {
        "hard": Term(CE()),
        "soft": Term(KLDivergence(temperature=Step(start=4.0, factor=0.5, steps=2))),
        "hot": Term(KLDivergence(temperature=Curriculum(steps=4))),
    }
    distiller = Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1))})
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1, momentum=0.9)
    distiller.attach(optimizer)
    return distiller, optimizer


def train(distiller: Distiller, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = distiller(make_batch(7)).loss()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def current_temperatures(distiller: Distiller) -> list[float]:
    with torch.no_grad():
        return [float(distiller.terms[name].loss.current_temperature) for name in ("soft", "hot")]


def test_the_distiller_moves_temperatures_once_a_step_and_learns() -> None:
    distiller, optimizer = make()
    soft, hot = current_temperatures(distiller)
    distiller(make_batch(7)).loss().backward()
    assert current_temperatures(distiller) == [soft, hot] == [4.0, pytest.approx(15.6212, abs=1e-4)]
    temperatures = []
    for _ in range(6):
        train(distiller, optimizer, 1)
        temperatures.append(current_temperatures(distiller))
    assert [pair[0] for pair in temperatures] == [4.0, 2.0, 2.0, 1.0, 1.0, 0.5]
    # λ is 0 in the first step.
    assert temperatures[0][1] == hot
    assert temperatures[-1][1] != hot


def test_resuming_is_exact() -> None:
    distiller, optimizer = make()
    train(distiller, optimizer, 3)
    saved, state = copy.deepcopy(distiller.state_dict()), copy.deepcopy(optimizer.state_dict())
    expected = train(distiller, optimizer, 3)
    resumed, other = make()
    resumed.load_state_dict(saved)
    other.load_state_dict(state)
    assert train(resumed, other, 3) == expected
    assert current_temperatures(resumed) == current_temperatures(distiller)


def test_a_copy_has_a_temperature_of_its_own() -> None:
    distiller, optimizer = make()
    twin = copy.deepcopy(distiller)
    before = current_temperatures(twin)
    train(distiller, optimizer, 4)
    assert current_temperatures(twin) == before != current_temperatures(distiller)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_model_does_not_round_it(dtype: torch.dtype) -> None:
    loss = KLDivergence(temperature=FALLING).to(dtype)
    follow(loss, 2)
    assert loss.current_temperature.item() == pytest.approx(FALLING(2), rel=1e-7)
    learned = Curriculum(steps=5).to(dtype)
    assert learned().dtype == torch.float32
