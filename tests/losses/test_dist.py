import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional import dist
from losses.inputs import draw_logits
from refusals import refused

MASK = torch.tensor([True, False, True, True, False, True, True])


def mean_distance(q: Tensor, p: Tensor) -> float:
    """1 − NumPy's correlation coefficient, averaged over rows."""
    return float(np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(q.numpy(), p.numpy(), strict=True)]))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_both_parts_are_numpys_correlation(temperature: float) -> None:
    student, teacher = draw_logits(7, 5)
    q, p = (F.softmax(z.detach() / temperature, dim=1) for z in (student, teacher))
    inter = dist(student, teacher, gamma=0.0, temperature=temperature) / temperature**2
    intra = dist(student, teacher, beta=0.0, temperature=temperature) / temperature**2
    assert inter.item() == pytest.approx(mean_distance(q, p), rel=1e-12)
    assert intra.item() == pytest.approx(mean_distance(q.T, p.T), rel=1e-12)
    both = dist(student, teacher, beta=2.0, gamma=0.5, temperature=temperature)
    torch.testing.assert_close(both, temperature**2 * (2 * inter + 0.5 * intra))


def test_probabilities_on_a_line_with_the_teachers_cost_nothing() -> None:
    _, teacher = draw_logits(7, 5)
    p = F.softmax(teacher, dim=1)
    assert dist((0.3 * p + 0.7 / 5).log(), teacher).item() == pytest.approx(0.0, abs=1e-12)


def test_order_of_rows_and_of_classes_changes_nothing() -> None:
    student, teacher = draw_logits(7, 5)
    value = dist(student, teacher)
    torch.testing.assert_close(dist(student.flip(0), teacher.flip(0)), value)
    torch.testing.assert_close(dist(student.flip(1), teacher.flip(1)), value)


def test_masked_rows_count_in_no_part() -> None:
    student, teacher = draw_logits(7, 5)
    value = dist(student, teacher, MASK)
    torch.testing.assert_close(value, dist(student[MASK], teacher[MASK]))
    (gradient,) = torch.autograd.grad(value, student)
    assert not gradient[~MASK].any()


def test_rows_on_two_axes_are_all_compared() -> None:
    student, teacher = draw_logits(2, 3, 5)
    flat = student.flatten(0, 1), teacher.flatten(0, 1)
    torch.testing.assert_close(dist(student, teacher), dist(*flat))
    mask = torch.tensor([[True, False, True], [True, True, False]])
    torch.testing.assert_close(dist(student, teacher, mask), dist(*flat, mask.flatten()))
    first = torch.tensor([True, False])
    torch.testing.assert_close(dist(student, teacher, first), dist(student[0], teacher[0]))


def test_constant_values_have_distance_1_from_others_and_0_from_constants() -> None:
    _, teacher = draw_logits(7, 5)
    student = torch.zeros(7, 5, dtype=torch.float64, requires_grad=True)
    value = dist(student, teacher)
    assert value.item() == pytest.approx(2.0)
    # It is pulled towards the teacher all the same.
    (gradient,) = torch.autograd.grad(value, student)
    assert dist((student - 1e-3 * gradient).detach(), teacher) < value
    same = torch.full((7, 5), 0.1)
    assert dist(same, same).item() == 0
    assert dist(same + 1, same).item() == 0


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_give_no_nan(rows: int) -> None:
    student, teacher = draw_logits(rows, 5)
    value = dist(student, teacher)
    assert value.isfinite()
    assert torch.autograd.grad(value, student)[0].isfinite().all()
    student, teacher = draw_logits(7, 5)
    value = dist(student, teacher, torch.arange(7) < rows)
    assert torch.autograd.grad(value, student)[0].isfinite().all()


@pytest.mark.parametrize("option", ["beta", "gamma"])
@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_impossible_weights_are_rejected(option: str, weight: float) -> None:
    with pytest.raises(ArgumentError, match=f"dist: {option} is {weight}, expected a finite number of at least 0"):
        dist(*draw_logits(7, 5), **{option: weight})


@pytest.mark.parametrize("mask", [torch.ones(7), torch.ones(6, dtype=torch.bool), torch.ones(7, 5, dtype=torch.bool)])
def test_masks_that_do_not_fit_are_rejected(mask: Tensor) -> None:
    with refused(ArgumentError, "wrong_shape", "mask"):
        dist(*draw_logits(7, 5), mask)


def test_both_sides_have_gradients_and_these_have_gradients() -> None:
    sides = [logits.detach().requires_grad_() for logits in draw_logits(4, 3)]
    assert torch.autograd.gradcheck(dist, sides)
    assert torch.autograd.gradgradcheck(dist, sides)
