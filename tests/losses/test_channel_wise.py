"""What the modules of feature losses do beyond calling their functions."""

import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.functional import channel_wise, kl_divergence
from limbeck.losses import ChannelWise
from losses.inputs import draw, draw_float32
from refusals import refused


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_it_is_the_divergence_of_each_channels_positions(temperature: float) -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 3, 4, 5, seed=1)
    expected = kl_divergence(student.flatten(2), teacher.flatten(2), temperature=temperature).mean(1)
    torch.testing.assert_close(channel_wise(student, teacher, temperature=temperature), expected)


def test_a_number_added_to_a_channel_does_not_matter() -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 3, 4, 5, seed=1)
    shifted = student + draw(6, 3, 1, 1, seed=2)
    torch.testing.assert_close(channel_wise(shifted, teacher), channel_wise(student, teacher))


def test_a_high_temperature_gives_half_the_variance_of_the_difference() -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 3, 4, 5, seed=1)
    variance = (student - teacher).flatten(2).var(2, correction=0).mean(1)
    torch.testing.assert_close(channel_wise(student, teacher, temperature=1e3), variance / 2, rtol=1e-2, atol=0)


def test_other_channels_and_temperatures_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        channel_wise(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4))
    with refused(ArgumentError, "out_of_range", "temperature"):
        channel_wise(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), temperature=0.0)


def test_channel_wise_compares_equal_channels_as_they_are() -> None:
    student, teacher = draw_float32(2, 3, 4, 4), draw_float32(2, 3, 4, 4, seed=1)
    loss = ChannelWise()
    loss.prepare([{"student": student, "teacher": teacher}])
    assert not list(loss.parameters())
    assert torch.equal(loss(student, teacher), channel_wise(student, teacher))


def test_channel_wise_projects_other_channels() -> None:
    student, teacher = draw_float32(2, 3, 4, 4), draw_float32(2, 5, 4, 4, seed=1)
    loss = ChannelWise()
    loss.prepare([{"student": student, "teacher": teacher}])
    assert [tuple(parameter.shape) for parameter in loss.parameters()] == [(5, 3), (5,)]
    torch.testing.assert_close(loss(student, teacher), channel_wise(loss.projection(student), teacher))
