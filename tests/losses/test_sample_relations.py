"""What holds for every loss between the rows of a batch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from limbeck.functional import (
    correlation_congruence,
    probabilistic_transfer,
    rkd_angle,
    rkd_distance,
    similarity_preserving,
)
from limbeck.losses._blocks import block_limit
from losses.inputs import draw

Loss = Callable[..., Tensor]
LOSSES = [rkd_distance, rkd_angle, similarity_preserving, correlation_congruence, probabilistic_transfer]
each = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
MASK = torch.tensor([True, False, True, True, False, True, True])


def rotation(size: int) -> Tensor:
    return torch.linalg.qr(draw(size, size, seed=9))[0]


@each
def test_scale_rotation_and_the_order_of_rows_change_nothing(loss: Loss) -> None:
    student, teacher = draw(7, 5), draw(7, 4, seed=1)
    value = loss(student, teacher)
    order = torch.tensor([3, 0, 6, 4, 1, 5, 2])
    torch.testing.assert_close(loss(3 * student @ rotation(5), teacher @ rotation(4) / 7), value)
    torch.testing.assert_close(loss(student[order], teacher[order]), value)
    assert loss(3 * teacher @ rotation(4), teacher) < 1e-15 < 1e-4 < value


@pytest.mark.parametrize("loss", [rkd_distance, rkd_angle], ids=lambda loss: loss.__name__)
def test_a_shift_changes_no_distance_and_no_angle(loss: Loss) -> None:
    student, teacher = draw(7, 5), draw(7, 4, seed=1)
    torch.testing.assert_close(loss(student + 2, teacher - draw(4, seed=2)), loss(student, teacher))


@pytest.mark.parametrize("loss", [correlation_congruence, probabilistic_transfer], ids=lambda loss: loss.__name__)
def test_the_length_of_a_row_changes_no_cosine(loss: Loss) -> None:
    student, teacher, lengths = draw(7, 5), draw(7, 4, seed=1), draw(7, 1, seed=2).exp()
    torch.testing.assert_close(loss(student * lengths, teacher / lengths), loss(student, teacher))


@each
def test_masked_rows_have_no_part_at_all(loss: Loss) -> None:
    student, teacher = draw(7, 5).requires_grad_(), draw(7, 4, seed=1)
    value = loss(student, teacher, MASK)
    (gradient,) = torch.autograd.grad(value, student)
    torch.testing.assert_close(value, loss(student[MASK], teacher[MASK]), rtol=1e-13, atol=0)
    for other in (float("nan"), float("inf"), 0.0, 1e30):
        changed = student.detach().clone()
        changed[~MASK] = other
        again = loss(changed.requires_grad_(), teacher.where(MASK[:, None], other), MASK)
        assert torch.equal(again, value)
        assert torch.equal(torch.autograd.grad(again, changed)[0], gradient)
    assert not gradient[~MASK].any()


@each
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_too_few_rows_give_0_without_a_gradient(loss: Loss, rows: int) -> None:
    student, teacher = draw(7, 5).requires_grad_(), draw(7, 4, seed=1)
    for value in (loss(student, teacher, torch.arange(7) < rows), loss(student[:rows], teacher[:rows])):
        (gradient,) = torch.autograd.grad(value, student, allow_unused=True)
        if rows < 2 or loss in (rkd_angle, probabilistic_transfer):
            assert value == 0
            assert gradient is None or gradient.abs().max() < 1e-15
        assert value.isfinite()


@each
def test_equal_rows_and_rows_of_zeros_are_finite(loss: Loss) -> None:
    teacher = draw(7, 4, seed=1, dtype=torch.float32)
    some_equal = draw(7, 5, dtype=torch.float32)
    some_equal[3] = some_equal[1]
    some_equal[5] = 0
    for student in (some_equal, torch.ones(7, 5), torch.zeros(7, 5)):
        for target in (teacher, torch.ones(7, 4), torch.zeros(7, 4), student.clone()):
            student = student.clone().requires_grad_()
            value = loss(student, target)
            (gradient,) = torch.autograd.grad(value, student)
            assert value.isfinite()
            assert gradient.isfinite().all()
            assert gradient.abs().max() < 10
    assert loss(torch.zeros(7, 5), torch.zeros(7, 4)) == 0


@each
def test_maps_are_vectors(loss: Loss) -> None:
    student, teacher = draw(7, 2, 3, 4), draw(7, 3, 2, seed=1)
    torch.testing.assert_close(loss(student, teacher), loss(student.flatten(1), teacher.flatten(1)))


@each
def test_gradients_have_gradients(loss: Loss) -> None:
    teacher = draw(5, 4, seed=1)
    assert torch.autograd.gradgradcheck(lambda student: loss(student, teacher), draw(5, 3).requires_grad_())


@each
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_blocks_are_the_whole(loss: Loss, mask: Tensor | None) -> None:
    student, teacher = draw(7, 5).requires_grad_(), draw(7, 4, seed=1)
    whole = loss(student, teacher, mask)
    with block_limit(20):
        value = loss(student, teacher, mask)
    torch.testing.assert_close(value, whole)
    torch.testing.assert_close(torch.autograd.grad(value, student), torch.autograd.grad(whole, student))


@each
def test_no_mask_is_a_mask_of_all(loss: Loss) -> None:
    student, teacher = draw(7, 5).requires_grad_(), draw(7, 4, seed=1)
    without, of_all = loss(student, teacher), loss(student, teacher, torch.ones(7, dtype=torch.bool))
    torch.testing.assert_close(without, of_all, rtol=1e-13, atol=0)
    torch.testing.assert_close(torch.autograd.grad(without, student), torch.autograd.grad(of_all, student))
