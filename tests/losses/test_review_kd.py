"""What the modules of feature losses do beyond calling their functions."""

import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.functional import hint_mse, review_kd
from limbeck.losses import ReviewKD
from losses.inputs import draw, draw_float32
from refusals import refused


def test_levels_add_up() -> None:
    student, teacher = [draw(6, 3, 7, 5), draw(6, 4, 2, 2)], [draw(6, 3, 7, 5, seed=1), draw(6, 4, 2, 2, seed=1)]
    alone = [review_kd([s], [t]) for s, t in zip(student, teacher, strict=True)]
    torch.testing.assert_close(review_kd(student, teacher), alone[0] + alone[1])
    assert not review_kd(student, student).any()


def test_one_pixel_has_one_scale() -> None:
    student, teacher = draw(6, 3, 1, 1), draw(6, 3, 1, 1, seed=1)
    torch.testing.assert_close(review_kd([student], [teacher]), hint_mse(student, teacher))


@pytest.mark.parametrize("size", [2, 4, 5, 9])
def test_a_difference_that_is_the_same_everywhere_has_one_size_at_every_scale(size: int) -> None:
    student = draw(6, 3, size, size)
    torch.testing.assert_close(review_kd([student], [student + 3]), torch.full((6,), 9.0, dtype=torch.float64))


def test_a_difference_without_a_mean_counts_least_at_the_coarse_scales() -> None:
    checkered = torch.ones(1, 1, 8, 8)
    checkered[:, :, ::2, 1::2] = checkered[:, :, 1::2, ::2] = -1
    assert review_kd([checkered], [torch.zeros_like(checkered)]).item() == pytest.approx(1 / (1 + 0.5 + 0.25 + 0.125))


def test_levels_that_do_not_fit_are_rejected() -> None:
    with refused(ArgumentError, "mismatch", "student"):
        review_kd([torch.zeros(2, 3, 4, 4)], [])
    with refused(ArgumentError, "wrong_shape", "student"):
        review_kd([torch.zeros(2, 3, 4, 4)], [torch.zeros(2, 3, 5, 4)])


def review() -> dict[str, torch.Tensor]:
    sizes = ((3, 8), (4, 4), (6, 2))
    students = {f"student_{level}": draw_float32(2, width, size, size) for level, (width, size) in enumerate(sizes, 1)}
    return {
        **students,
        **{f"teacher_{level}": draw_float32(2, 5, size, size, seed=1) for level, (_, size) in enumerate(sizes, 1)},
    }


def test_deeper_levels_help_the_shallow_ones_and_not_the_other_way() -> None:
    features = review()
    loss = ReviewKD()
    loss.prepare([features])
    students = [features[f"student_{level}"].requires_grad_() for level in (1, 2, 3)]
    fused = loss._fused(students, [features[f"teacher_{level}"] for level in (1, 2, 3)])
    reached = [
        [
            gradient is not None
            for gradient in torch.autograd.grad(output.sum(), students, allow_unused=True, retain_graph=True)
        ]
        for output in fused
    ]
    assert reached == [[True, True, True], [False, True, True], [False, False, True]]


def test_the_common_width_is_the_deepest_levels_or_what_is_asked_for() -> None:
    for width, expected in ((None, 6), (7, 7)):
        loss = ReviewKD(width=width)
        loss.prepare([review()])
        assert {layer.out_channels for layer in loss.narrow} == {expected}


@pytest.mark.parametrize("missing", ["teacher_2", "student_1"])
def test_a_level_with_one_side_is_rejected(missing: str) -> None:
    features = review()
    del features[missing]
    with pytest.raises(ArgumentError, match=f"level {missing[-1]} lacks its student's or teacher's features"):
        ReviewKD().prepare([features])


def test_a_gap_and_another_number_of_levels_are_rejected() -> None:
    features = review()
    loss = ReviewKD()
    loss.prepare([features])
    for name in ("student_2", "teacher_2"):
        del features[name]
    with refused(ArgumentError, "missing", "student_2"):
        loss(**features)
    for name in ("student_3", "teacher_3"):
        del features[name]
    with refused(ArgumentError, "mismatch", "student_1"):
        loss(**features)
