import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import nst_mmd
from limbeck.losses._blocks import block_limit
from losses.inputs import draw

KERNELS = ("linear", "polynomial", "gaussian")


def patterns(maps: torch.Tensor) -> torch.Tensor:
    return F.normalize(maps.flatten(2), dim=2)


@pytest.mark.parametrize("kernel", KERNELS)
def test_order_and_positive_scale_of_channels_do_not_matter(kernel: str) -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 7, 4, 5, seed=1)
    scaled = student.flip(1) * draw(1, 3, 1, 1, seed=2).abs()
    torch.testing.assert_close(nst_mmd(scaled, teacher, kernel=kernel), nst_mmd(student, teacher, kernel=kernel))
    assert nst_mmd(student.flip(1), student, kernel=kernel).abs().max() < 1e-15
    assert nst_mmd(student, teacher, kernel=kernel).min() > 0


def test_a_set_and_the_same_set_twice_have_no_discrepancy() -> None:
    student = draw(6, 3, 4, 5)
    for kernel in KERNELS:
        assert nst_mmd(student, student.repeat(1, 2, 1, 1), kernel=kernel).abs().max() < 1e-15


def test_the_linear_kernel_compares_means() -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 7, 4, 5, seed=1)
    difference = patterns(student).mean(1) - patterns(teacher).mean(1)
    torch.testing.assert_close(nst_mmd(student, teacher, kernel="linear"), difference.square().sum(1))
    torch.testing.assert_close(
        nst_mmd(student, teacher, degree=1, offset=0.7), nst_mmd(student, teacher, kernel="linear")
    )


def test_the_polynomial_kernel_compares_gram_matrices_over_the_positions() -> None:
    for student, teacher in (
        (draw(6, 3, 4, 5), draw(6, 7, 4, 5, seed=1)),
        (draw(6, 30, 4, 5), draw(6, 7, 4, 5, seed=1)),
    ):
        check_grams(student, teacher)


def check_grams(student: torch.Tensor, teacher: torch.Tensor) -> None:
    grams = [patterns(maps).mT @ patterns(maps) / maps.shape[1] for maps in (student, teacher)]
    torch.testing.assert_close(nst_mmd(student, teacher), (grams[0] - grams[1]).square().sum((1, 2)))


def test_a_wide_gaussian_is_the_linear_kernel() -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 7, 4, 5, seed=1)
    wide = nst_mmd(student, teacher, kernel="gaussian", bandwidth=100.0) * 100.0**2
    torch.testing.assert_close(wide, nst_mmd(student, teacher, kernel="linear"), rtol=1e-3, atol=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_dead_channels_and_one_channel_are_finite(kernel: str) -> None:
    for teacher in (torch.zeros(2, 3, 4, 4), torch.ones(2, 1, 4, 4)):
        student = torch.zeros(2, 5, 4, 4, requires_grad=True)
        value = nst_mmd(student, teacher, kernel=kernel)
        assert value.isfinite().all()
        assert torch.autograd.grad(value.sum(), student)[0].isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": "cubic"}, "kernel is 'cubic', expected 'linear', 'polynomial' or 'gaussian'"),
        ({"degree": 0}, "degree is 0"),
        ({"offset": -1.0}, r"offset -1\.0"),
        ({"bandwidth": 0.0}, r"bandwidth is 0\.0"),
    ],
)
def test_impossible_kernels_are_rejected(settings, message: str) -> None:
    with pytest.raises(ArgumentError, match=f"nst_mmd: .*{message}"):
        nst_mmd(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), **settings)


@pytest.mark.parametrize("options", [{"kernel": "gaussian"}, {"kernel": "gaussian", "bandwidth": 0.5}, {"degree": 3}])
def test_blocks_of_samples_are_the_whole(options: dict[str, float]) -> None:
    student, teacher = draw(6, 3, 4, 5).requires_grad_(), draw(6, 7, 4, 5, seed=1)
    whole = nst_mmd(student, teacher, **options)
    with block_limit(100):
        value = nst_mmd(student, teacher, **options)
    torch.testing.assert_close(value, whole)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), student), torch.autograd.grad(whole.sum(), student))
