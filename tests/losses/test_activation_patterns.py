import math

import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import activation_boundary, sparsity_pattern
from losses.inputs import draw
from refusals import refused

SHAPES = [(6, 5), (6, 3, 5), (6, 3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", [activation_boundary, sparsity_pattern])
def test_only_the_sign_of_the_teacher_matters(loss, shape: tuple[int, ...]) -> None:
    student, teacher = draw(*shape), draw(*shape, seed=1)
    value = loss(student, teacher)
    assert value.shape == (shape[:2] if len(shape) == 3 else shape[:1])
    torch.testing.assert_close(loss(student, 100 * teacher), value)
    torch.testing.assert_close(loss(student, F.relu(teacher)), value)


def test_the_right_side_of_the_margin_costs_nothing() -> None:
    teacher = draw(6, 5)
    assert not activation_boundary(teacher.sign() * 1.5, teacher).any()
    assert activation_boundary(teacher.sign() * 0.5, teacher).min() > 0
    torch.testing.assert_close(
        activation_boundary(-teacher.sign(), teacher), torch.full((6,), 4.0, dtype=torch.float64)
    )


def test_margin_and_responses_scale_together() -> None:
    student, teacher = draw(6, 5), draw(6, 5, seed=1)
    scaled = activation_boundary(3 * student, teacher, margin=3.0)
    torch.testing.assert_close(scaled, 9 * activation_boundary(student, teacher))


def test_sparsity_is_a_cross_entropy_that_bounds_the_share_of_other_states() -> None:
    student, teacher = draw(6, 5), draw(6, 5, seed=1)
    value = sparsity_pattern(student, teacher)
    expected = F.binary_cross_entropy_with_logits(student, (teacher > 0).double(), reduction="none").mean(1)
    torch.testing.assert_close(value, expected)
    share = ((student > 0) != (teacher > 0)).double().mean(1)
    assert (value >= math.log(2) * share).all()
    assert sparsity_pattern(1e3 * teacher.sign(), teacher).max() == 0


@pytest.mark.parametrize("margin", [0.0, -1.0, math.inf, math.nan])
def test_impossible_margins_are_rejected(margin: float) -> None:
    with refused(ArgumentError, "out_of_range", "margin"):
        activation_boundary(torch.zeros(2, 3), torch.zeros(2, 3), margin=margin)


@pytest.mark.parametrize("loss", [activation_boundary, sparsity_pattern])
def test_shapes_that_do_not_fit_are_rejected(loss) -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        loss(torch.zeros(2, 3), torch.zeros(2, 4))
