import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import attention_transfer, gradient_attention
from losses.inputs import draw
from refusals import refused


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_scale_and_order_of_channels_do_not_matter(power: float) -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 7, 4, 5, seed=1)
    value = attention_transfer(student, teacher, power=power)
    torch.testing.assert_close(attention_transfer(-3 * student, teacher.flip(1) * 0.01, power=power), value)
    assert not attention_transfer(student, student.flip(1), power=power).gt(1e-30).any()


def test_two_maps_without_a_common_position_are_farthest_apart() -> None:
    student, teacher = torch.zeros(1, 2, 2, 2), torch.zeros(1, 3, 2, 2)
    student[..., 0], teacher[..., 1] = 1.0, 5.0
    assert attention_transfer(student, teacher).item() == pytest.approx(2 / 4)


def test_a_large_power_keeps_only_the_maximum() -> None:
    student, teacher = draw(1, 1, 3, 3), torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    teacher.view(-1)[student.abs().argmax()] = 1.0
    assert attention_transfer(student, teacher, power=400.0).item() < 1e-12


def test_zeros_stay_zeros_and_give_a_finite_gradient() -> None:
    for power in (1.0, 2.0, 3.0):
        student = torch.zeros(2, 3, 4, 4, requires_grad=True)
        value = attention_transfer(student, torch.ones(2, 3, 4, 4), power=power)
        torch.testing.assert_close(value, torch.full((2,), 1 / 16))
        assert torch.autograd.grad(value.sum(), student)[0].isfinite().all()


def test_the_larger_maps_are_averaged() -> None:
    student, teacher = draw(2, 3, 8, 4), draw(2, 5, 4, 8, seed=1)
    expected = attention_transfer(F.avg_pool2d(student, (2, 1)), F.avg_pool2d(teacher, (1, 2)))
    torch.testing.assert_close(attention_transfer(student, teacher), expected)


@pytest.mark.parametrize("power", [0.5, 0.0, float("inf"), float("nan")])
def test_impossible_powers_are_rejected(power: float) -> None:
    with refused(ArgumentError, "out_of_range", "power"):
        attention_transfer(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), power=power)


@pytest.mark.parametrize("function", [attention_transfer, gradient_attention])
@pytest.mark.parametrize(("student", "teacher"), [((2, 3, 4), (2, 3, 4)), ((2, 3, 4, 4), (3, 3, 4, 4)), ((2,), (2,))])
def test_inputs_that_are_not_maps_are_rejected(function, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        function(torch.zeros(student), torch.zeros(teacher))


def test_integers_are_rejected() -> None:
    with refused(ArgumentError, "wrong_type", "student"):
        attention_transfer(torch.zeros(2, 3, 4, 4, dtype=torch.int64), torch.zeros(2, 3, 4, 4))
