"""What the modules of feature losses do beyond calling their functions."""

import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import hint_mse, variational_information
from limbeck.losses import VariationalInformation
from losses.inputs import draw, draw_float32
from refusals import refused

VARIANCE = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 3), (6, 2, 3)])
def test_it_is_torchs_gaussian_likelihood(shape: tuple[int, ...]) -> None:
    student, teacher = draw(*shape), draw(*shape, seed=1)
    expected = F.gaussian_nll_loss(student, teacher, VARIANCE.expand(shape), reduction="none").mean(-1)
    torch.testing.assert_close(variational_information(student, teacher, variance=VARIANCE), expected)


def test_with_unit_variance_it_is_half_the_squared_difference() -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 3, 4, 5, seed=1)
    value = variational_information(student, teacher, variance=torch.ones(3))
    torch.testing.assert_close(value, hint_mse(student, teacher) / 2)


def test_the_best_variance_is_the_mean_squared_residual() -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 3, 4, 5, seed=1)
    variance = (student - teacher).square().mean((0, 2, 3)).requires_grad_()
    value = variational_information(student, teacher, variance=variance).mean()
    assert torch.autograd.grad(value, variance)[0].abs().max() < 1e-12


def test_sizes_that_differ_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        variational_information(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 2, 2), variance=torch.ones(3))
    with refused(ArgumentError, "wrong_shape", "student"):
        variational_information(torch.zeros(2, 4), torch.zeros(2, 4), variance=torch.ones(3))


@pytest.mark.parametrize("variance", [1e-3, 1.0, 5.0, 200.0])
def test_variances_start_at_the_initial_variance(variance: float) -> None:
    loss = VariationalInformation(initial_variance=variance)
    loss.prepare([{"student": draw_float32(2, 3), "teacher": draw_float32(2, 5)}])
    torch.testing.assert_close(loss.variance, torch.full((5,), variance), rtol=1e-5, atol=1e-8)


def test_the_variance_of_a_channel_learns_how_well_it_is_predicted() -> None:
    torch.manual_seed(0)
    student = draw_float32(256, 3)
    teacher = torch.cat([student @ draw_float32(3, 8, seed=2), 2 * draw_float32(256, 8, seed=1)], dim=1)
    loss = VariationalInformation()
    loss.prepare([{"student": student, "teacher": teacher}])
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(student, teacher).mean().backward()
        optimizer.step()
    predictable, noise = loss.variance.split(8)
    assert predictable.max() < 0.5 < 1.5 < noise.min()
