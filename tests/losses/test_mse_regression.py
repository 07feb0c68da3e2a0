import math

import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.functional import mse_regression
from refusals import refused


def draw(*shape: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]


def errors(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.mse_loss(values, target, reduction="none").mean(-1)


def test_each_row_is_the_students_error_or_0() -> None:
    student, teacher, target = draw(50, 3)
    value = mse_regression(student, teacher, target)
    worse = errors(student, target) > errors(teacher, target)
    assert worse.any()
    assert not worse.all()
    torch.testing.assert_close(value[worse], errors(student, target)[worse])
    assert not value[~worse].any()


def test_a_perfect_teacher_always_gives_a_loss_and_a_bad_one_never() -> None:
    student, _, target = draw(50, 3)
    torch.testing.assert_close(mse_regression(student, target, target), errors(student, target))
    assert not mse_regression(student, target + 100, target).any()


def test_a_student_as_good_as_the_teacher_has_no_loss_without_a_margin() -> None:
    student, _, target = draw(50, 3)
    reflected = 2 * target - student
    assert not mse_regression(student, student, target).any()
    torch.testing.assert_close(mse_regression(student, reflected, target, margin=1e-6), errors(student, target))


def test_the_margin_is_a_difference_of_mean_squared_errors() -> None:
    student, teacher, target = torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 2.0]]), torch.zeros(1, 2)
    assert mse_regression(student, teacher, target, margin=2.9).item() == 0
    assert mse_regression(student, teacher, target, margin=3.1).item() == 1


def test_gradient_pulls_to_the_target_not_to_the_teacher() -> None:
    student, teacher, target = draw(50, 3)
    student.requires_grad_()
    value = mse_regression(student, teacher, target)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    torch.testing.assert_close(gradient, 2 / 3 * (student - target).detach() * (value > 0)[:, None])


def test_rows_may_have_any_axes() -> None:
    student, teacher, target = draw(2, 4, 3)
    value = mse_regression(student, teacher, target)
    torch.testing.assert_close(value[1], mse_regression(student[1], teacher[1], target[1]))


@pytest.mark.parametrize("margin", [-0.1, math.inf, math.nan])
def test_impossible_margins_are_rejected(margin: float) -> None:
    with refused(ArgumentError, "out_of_range", "margin"):
        mse_regression(*draw(4, 3), margin=margin)


def test_inputs_that_do_not_fit_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        mse_regression(torch.zeros(4, 1), torch.zeros(4, 1), torch.zeros(4))
    with refused(ArgumentError, "wrong_type", "student"):
        mse_regression(torch.zeros(4, 1), torch.zeros(4, 1), torch.zeros(4, 1, dtype=torch.int64))
