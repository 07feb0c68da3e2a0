import numpy as np
import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.functional import linear_cka
from limbeck.losses._cka import linear_ckas
from oracles.linear_cka import linear_cka as oracle
from refusals import refused


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def related(rows: int, student: int, teacher: int) -> tuple[torch.Tensor, torch.Tensor]:
    first = draw(rows, student)
    return first + 3, first @ draw(student, teacher, seed=1) + 0.5 * draw(rows, teacher, seed=2)


# Few and many rows: by products of rows and of features.
SIZES = [(5, 9, 7), (40, 3, 4), (6, 30, 2), (3, 1, 1)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_value_is_the_oracles(sizes: tuple[int, int, int], dtype: torch.dtype, error: float) -> None:
    student, teacher = (features.to(dtype) for features in related(*sizes))
    value = linear_cka(student, teacher)
    assert value.dtype == dtype
    assert value.item() == pytest.approx(oracle(student.double().numpy(), teacher.double().numpy()), rel=error)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_mask_takes_rows_out(sizes: tuple[int, int, int]) -> None:
    student, teacher = related(*sizes)
    mask = torch.arange(len(student)) != 1
    expected = linear_cka(student[mask], teacher[mask])
    student[1], teacher[1] = torch.nan, torch.inf
    torch.testing.assert_close(linear_cka(student, teacher, mask), expected)


@pytest.mark.parametrize("sizes", SIZES)
def test_gradient_is_that_of_finite_differences(sizes: tuple[int, int, int]) -> None:
    assert torch.autograd.gradcheck(linear_cka, [features.requires_grad_() for features in related(*sizes)])


def test_rotation_shift_and_scale_do_not_matter() -> None:
    student, teacher = related(20, 4, 6)
    rotation, _ = torch.linalg.qr(draw(4, 4, seed=5))
    torch.testing.assert_close(linear_cka(-2e6 * student @ rotation + 7, teacher), linear_cka(student, teacher))
    torch.testing.assert_close(linear_cka(student, student @ rotation).item(), 1.0)
    torch.testing.assert_close(linear_cka(student, teacher), linear_cka(teacher, student))


def test_maps_are_taken_as_vectors_and_half_precision_is_computed_in_float32() -> None:
    student, teacher = draw(8, 2, 3, 4, dtype=torch.bfloat16), draw(8, 5, seed=1, dtype=torch.float16)
    value = linear_cka(student, teacher)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, linear_cka(student.float().flatten(1), teacher.float()))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_equal_rows_give_0_with_a_finite_gradient(constant: float) -> None:
    student = torch.full((7, 3), constant, requires_grad=True)
    value = linear_cka(student, draw(7, 4, dtype=torch.float32))
    value.backward()
    assert value == 0
    assert student.grad.isfinite().all()


def test_large_features_stay_finite() -> None:
    value = linear_cka(1e12 * draw(6, 3, dtype=torch.float32), 1e-12 * draw(6, 3, dtype=torch.float32))
    torch.testing.assert_close(value, linear_cka(draw(6, 3), draw(6, 3)).float())


def test_no_row_and_one_row_give_0() -> None:
    assert linear_cka(draw(4, 3), draw(4, 2), torch.zeros(4, dtype=torch.bool)) == 0
    assert linear_cka(draw(1, 3), draw(1, 2)) == 0


def test_many_at_once_are_each_alone() -> None:
    students, teachers = [draw(6, 3), draw(6, 20, seed=1)], [draw(6, 2, seed=2), draw(6, 9, seed=3), draw(6, 1, seed=4)]
    values = linear_ckas(students, teachers)
    assert values.shape == (2, 3)
    for s, student in enumerate(students):
        for t, teacher in enumerate(teachers):
            torch.testing.assert_close(values[s, t], linear_cka(student, teacher))


def test_other_rows_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        linear_cka(draw(6, 3), draw(5, 3))
    with refused(ArgumentError, "wrong_shape", "mask"):
        linear_cka(draw(6, 3), draw(6, 3), torch.ones(6, dtype=torch.int64))
