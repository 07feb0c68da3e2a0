import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional import soft_cross_entropy, weighted_soft_label
from losses.inputs import draw_logits
from refusals import refused

TARGET = torch.tensor([0, 3, 1, 4, 4, 2, 0])


def weights(student: Tensor, teacher: Tensor) -> Tensor:
    q, p = (F.softmax(z.detach(), dim=-1)[torch.arange(7), TARGET] for z in (student, teacher))
    return 1 - torch.exp(-q.log() / p.log())


@pytest.mark.parametrize("standardize", [False, True])
def test_it_is_the_soft_cross_entropy_times_a_weight_without_gradient(standardize: bool) -> None:
    student, teacher = draw_logits(7, 5)
    options = {"temperature": 3.0, "standardize": standardize}
    value = weighted_soft_label(student, teacher, TARGET, **options)
    expected = weights(student, teacher) * soft_cross_entropy(student, teacher, **options)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), student), torch.autograd.grad(expected.sum(), student))


def test_gradient_is_the_weighted_difference_of_probabilities() -> None:
    student, teacher = draw_logits(7, 5)
    (gradient,) = torch.autograd.grad(weighted_soft_label(student, teacher, TARGET, temperature=3.0).sum(), student)
    difference = F.softmax(student / 3, dim=1) - F.softmax(teacher / 3, dim=1)
    torch.testing.assert_close(gradient, 3 * weights(student, teacher)[:, None] * difference)


def test_equally_good_models_have_the_weight_1_minus_1_over_e() -> None:
    _, teacher = draw_logits(7, 5)
    ratio = weighted_soft_label(teacher, teacher, TARGET) / soft_cross_entropy(teacher, teacher, temperature=2.0)
    torch.testing.assert_close(ratio, torch.full_like(ratio, 1 - 1 / math.e))


@pytest.mark.parametrize(("student", "expected"), [([[0.0, 0.0]], 1.0), ([[1e4, 0.0]], 0.0)])
def test_a_teacher_without_loss_gives_all_or_nothing(student: list[list[float]], expected: float) -> None:
    logits, teacher, target = torch.tensor(student, requires_grad=True), torch.tensor([[1e4, 0.0]]), torch.tensor([0])
    value = weighted_soft_label(logits, teacher, target)
    torch.testing.assert_close(value, expected * soft_cross_entropy(logits, teacher, temperature=2.0))
    assert torch.autograd.grad(value, logits)[0].isfinite().all()


def test_rows_may_have_any_axes() -> None:
    student, teacher = draw_logits(2, 3, 5)
    target = TARGET[:6].reshape(2, 3)
    value = weighted_soft_label(student, teacher, target)
    torch.testing.assert_close(value[1], weighted_soft_label(student[1], teacher[1], target[1]))


def test_inputs_that_do_not_fit_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        weighted_soft_label(torch.zeros(4, 5), torch.zeros(4, 6), TARGET[:4])
    with refused(ArgumentError, "wrong_shape", "target"):
        weighted_soft_label(torch.zeros(4, 5), torch.zeros(4, 5), TARGET[:3])
    with pytest.raises(IndexError, match="out of bounds"):
        weighted_soft_label(torch.zeros(1, 5), torch.zeros(1, 5), torch.tensor([-100]))
