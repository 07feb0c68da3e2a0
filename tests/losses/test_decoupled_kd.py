import math

import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import binary_kd, decoupled_kd, kl_divergence
from losses.inputs import draw_logits
from refusals import refused

TARGET = torch.tensor([0, 3, 1, 4, 4, 2, 0])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_with_the_coupled_weight_it_is_the_divergence(temperature: float) -> None:
    student, teacher = draw_logits(7, 5)
    of_target = decoupled_kd(student, teacher, TARGET, alpha=1.0, beta=0.0, temperature=temperature)
    of_others = decoupled_kd(student, teacher, TARGET, alpha=0.0, beta=1.0, temperature=temperature)
    share = F.softmax(teacher / temperature, dim=1)[torch.arange(7), TARGET]
    torch.testing.assert_close(
        of_target + (1 - share) * of_others, kl_divergence(student, teacher, temperature=temperature)
    )


def test_parts_are_the_divergences_of_what_they_see() -> None:
    student, teacher = draw_logits(7, 5)
    for row, label in enumerate(TARGET.tolist()):
        others = [number for number in range(5) if number != label]
        one = slice(row, row + 1)
        value = decoupled_kd(student[one], teacher[one], TARGET[one], alpha=0.0, beta=1.0, temperature=2.0)
        torch.testing.assert_close(value, kl_divergence(student[one, others], teacher[one, others], temperature=2.0))
        value = decoupled_kd(student[one], teacher[one], TARGET[one], alpha=1.0, beta=0.0, temperature=1.0)
        log_odds = [z[one, [label]] - z[one, others].logsumexp(1) for z in (student, teacher)]
        torch.testing.assert_close(value, binary_kd(*log_odds))


def test_of_two_classes_only_the_target_is_left() -> None:
    student, teacher = draw_logits(7, 2)
    value = decoupled_kd(student, teacher, TARGET % 2, beta=100.0)
    torch.testing.assert_close(value, kl_divergence(student, teacher, temperature=4.0))


def test_the_other_classes_count_where_the_teacher_is_confident() -> None:
    teacher = torch.tensor([[50.0, 2.0, 0.0]])
    student = torch.tensor([[50.0, 0.0, 2.0]], requires_grad=True)
    value = decoupled_kd(student, teacher, torch.tensor([0]), temperature=1.0)
    assert kl_divergence(student, teacher).item() < 1e-12
    assert value.item() > 8
    (gradient,) = torch.autograd.grad(value, student)
    assert gradient.isfinite().all()


def test_rows_may_have_any_axes() -> None:
    student, teacher = draw_logits(2, 3, 5)
    target = TARGET[:6].reshape(2, 3)
    value = decoupled_kd(student, teacher, target)
    torch.testing.assert_close(value[1], decoupled_kd(student[1], teacher[1], target[1]))


def test_a_teacher_that_learns_gets_its_gradient() -> None:
    student, teacher = draw_logits(7, 5)
    assert torch.autograd.gradcheck(
        lambda t: decoupled_kd(student.detach(), t, TARGET, temperature=2.0), teacher.requires_grad_()
    )


@pytest.mark.parametrize("target", [-100, 5])
def test_a_row_without_a_class_is_no_silent_0(target: int) -> None:
    with pytest.raises(RuntimeError, match="out of bounds"):
        decoupled_kd(torch.zeros(1, 5), torch.zeros(1, 5), torch.tensor([target]))


@pytest.mark.parametrize("option", ["alpha", "beta"])
@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_impossible_weights_are_rejected(option: str, weight: float) -> None:
    with pytest.raises(
        ArgumentError, match=f"decoupled_kd: {option} is {weight}, expected a finite number of at least"
    ):
        decoupled_kd(*draw_logits(7, 5), TARGET, **{option: weight})


def test_shapes_that_do_not_fit_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student", match=r"student has shape \[4, 5\] and teacher \[4, 6\]"):
        decoupled_kd(torch.zeros(4, 5), torch.zeros(4, 6), TARGET[:4])
    with refused(ArgumentError, "wrong_shape", "target"):
        decoupled_kd(torch.zeros(4, 5), torch.zeros(4, 5), TARGET[:3])
    with refused(
        ArgumentError, "wrong_shape", "student", match=r"student has shape \[4, 1\], expected at least 2 classes"
    ):
        decoupled_kd(torch.zeros(4, 1), torch.zeros(4, 1), TARGET[:4])
