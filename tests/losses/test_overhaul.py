"""What the modules of feature losses do beyond calling their functions."""

import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.functional import hint_mse, overhaul
from limbeck.losses import Overhaul
from losses.inputs import draw, draw_float32
from oracles.overhaul import margins
from refusals import refused

MARGIN = -torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 3), (6, 2, 3), (6, 3, 4, 5)])
def test_it_is_the_squared_difference_where_the_teacher_is_on(shape: tuple[int, ...]) -> None:
    student, teacher = draw(*shape), draw(*shape, seed=1).abs()
    torch.testing.assert_close(overhaul(student, teacher, margin=MARGIN), hint_mse(student, teacher))


def test_low_responses_cost_nothing_where_the_teacher_is_off() -> None:
    teacher = -draw(6, 3).abs() - 2
    student = (MARGIN - draw(6, 3, seed=1).abs()).requires_grad_()
    value = overhaul(student, teacher, margin=MARGIN)
    assert not value.any()
    assert not torch.autograd.grad(value.sum(), student)[0].any()


def test_high_responses_are_pulled_to_the_margin_where_the_teacher_is_off() -> None:
    teacher = -draw(6, 3).abs() - 2
    student = draw(6, 3, seed=1).abs()
    expected = (student - MARGIN).square().mean(1)
    torch.testing.assert_close(overhaul(student, teacher, margin=MARGIN), expected)


def test_equal_features_cost_only_the_margin() -> None:
    features = draw(6, 3)
    assert not overhaul(features, features, margin=MARGIN - 100).any()


def test_a_margin_for_each_channel_is_asked_for() -> None:
    with pytest.raises(ArgumentError, match=r"margin has shape \[3\] and teacher \[2, 4\], expected \[4\]"):
        overhaul(torch.zeros(2, 4), torch.zeros(2, 4), margin=MARGIN)


def test_margins_are_means_over_all_samples() -> None:
    student, teacher = draw_float32(10, 3, 4, 4), draw_float32(10, 5, 4, 4, seed=1)
    teacher[:, 2].abs_()
    samples = [{"student": student[part], "teacher": teacher[part]} for part in (slice(0, 7), slice(7, 10))]
    loss = Overhaul()
    loss.prepare(samples)
    torch.testing.assert_close(loss.margin.double(), torch.from_numpy(margins(teacher.double().numpy())))
    assert loss.margin[2] == 0
    assert not loss.margin.requires_grad


def test_margins_of_sequences_are_those_of_their_positions() -> None:
    teacher = draw_float32(4, 3, 5, seed=1)
    loss, flat = Overhaul(), Overhaul()
    loss.prepare([{"student": draw_float32(4, 3, 2), "teacher": teacher}])
    flat.prepare([{"student": draw_float32(12, 2), "teacher": teacher.flatten(0, 1)}])
    torch.testing.assert_close(loss.margin, flat.margin)


def test_responses_that_are_not_finite_are_rejected() -> None:
    with refused(ArgumentError, "not_finite", "teacher"):
        Overhaul().prepare([{"student": draw_float32(2, 3), "teacher": torch.full((2, 4), -torch.inf)}])
