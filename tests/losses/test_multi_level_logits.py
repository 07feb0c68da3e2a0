import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional import kl_divergence, multi_level_logits
from losses.inputs import draw_logits
from refusals import refused

MASK = torch.tensor([True, False, True, True, False, True, True])


def levels(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The three levels, the matrices written out."""
    q, p = (F.softmax(z / temperature, dim=1) for z in (student, teacher))
    instance = kl_divergence(student, teacher, temperature=temperature).mean()
    batch = torch.linalg.matrix_norm(p @ p.T - q @ q.T) ** 2 / len(p)
    classes = torch.linalg.matrix_norm(p.T @ p - q.T @ q) ** 2 / p.shape[1]
    return instance + batch + classes


@pytest.mark.parametrize("shape", [(3, 9), (9, 3), (5, 5), (40, 2)])
def test_both_ways_to_the_matrices_agree(shape: tuple[int, int]) -> None:
    student, teacher = draw_logits(*shape)
    value = multi_level_logits(student, teacher, temperatures=[2.0])
    expected = levels(student, teacher, 2.0)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    (gradient,), (slope,) = (torch.autograd.grad(v, student) for v in (value, expected))
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-12)


def test_temperatures_add_up() -> None:
    student, teacher = draw_logits(7, 5)
    expected = sum(levels(student, teacher, temperature) for temperature in (2.0, 3.0, 4.0, 5.0, 6.0))
    torch.testing.assert_close(multi_level_logits(student, teacher), expected)


def test_nearly_equal_distributions_keep_their_precision() -> None:
    teacher = draw_logits(40, 3)[1]
    student = teacher + 1e-5 * draw_logits(40, 3)[0].detach()
    value = multi_level_logits(student, teacher, temperatures=[1.0])
    torch.testing.assert_close(value, levels(student, teacher, 1.0), rtol=1e-5, atol=0)


def test_order_of_rows_and_of_classes_changes_nothing() -> None:
    student, teacher = draw_logits(7, 5)
    value = multi_level_logits(student, teacher)
    torch.testing.assert_close(multi_level_logits(student.flip(0), teacher.flip(0)), value)
    torch.testing.assert_close(multi_level_logits(student.flip(1), teacher.flip(1)), value)


def test_masked_rows_count_in_no_level() -> None:
    student, teacher = draw_logits(7, 5)
    value = multi_level_logits(student, teacher, MASK)
    torch.testing.assert_close(value, multi_level_logits(student[MASK], teacher[MASK]))
    assert not torch.autograd.grad(value, student)[0][~MASK].any()


def test_rows_on_two_axes_are_all_compared() -> None:
    student, teacher = draw_logits(2, 3, 5)
    flat = student.flatten(0, 1), teacher.flatten(0, 1)
    torch.testing.assert_close(multi_level_logits(student, teacher), multi_level_logits(*flat))


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_give_no_nan(rows: int) -> None:
    for student, teacher, mask in ((*draw_logits(rows, 5), None), (*draw_logits(7, 5), torch.arange(7) < rows)):
        value = multi_level_logits(student, teacher, mask)
        assert torch.autograd.grad(value, student)[0].isfinite().all()


def test_impossible_temperatures_are_rejected() -> None:
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with refused(ArgumentError, "out_of_range", "temperature"):
            multi_level_logits(*draw_logits(7, 5), temperatures=[2.0, temperature])
    with refused(ArgumentError, "missing", "temperatures"):
        multi_level_logits(*draw_logits(7, 5), temperatures=[])


@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_both_sides_have_gradients_and_these_have_gradients(shape: tuple[int, int]) -> None:
    sides = [logits.detach().requires_grad_() for logits in draw_logits(*shape)]
    assert torch.autograd.gradcheck(multi_level_logits, sides)
    assert torch.autograd.gradgradcheck(multi_level_logits, sides)
