import pytest
import torch

from limbeck.functional import rkd_angle, rkd_distance
from limbeck.losses._blocks import block_limit
from losses.inputs import draw


def test_one_far_pair_is_on_the_linear_part() -> None:
    # Student: distances 1, 1 and 2 of mean 4/3. Teacher: 1, 9 and 10 of mean 20/3.
    student, teacher = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [1.0], [10.0]])
    differences = [3 / 4 - 3 / 20, 27 / 20 - 3 / 4, 30 / 20 - 6 / 4]
    expected = sum(0.5 * d**2 for d in differences) / 3
    assert rkd_distance(student.double(), teacher.double()).item() == pytest.approx(expected, rel=1e-12)
    flat, peak = torch.zeros(40, 1), torch.zeros(40, 1)
    flat[:, 0], peak[0] = torch.arange(40.0), 1.0
    ours, theirs = (torch.pdist(x) / torch.pdist(x).mean() for x in (peak, flat))
    huber = torch.nn.functional.huber_loss(ours, theirs, delta=1.0)
    assert (ours - theirs).abs().max() > 10
    torch.testing.assert_close(rkd_distance(peak, flat), huber)


def test_a_right_angle_against_none() -> None:
    right = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    straight = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    half = 0.5**0.5
    expected = (0.5 * 1**2 + (half + 1 - 0.5) + 0.5 * (1 - half) ** 2) / 3
    assert rkd_angle(right, straight).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", [rkd_distance, rkd_angle], ids=lambda loss: loss.__name__)
def test_rows_far_from_the_origin_keep_their_precision(loss) -> None:
    student, teacher = 1000 + draw(16, 8, dtype=torch.float32), draw(16, 4, seed=1, dtype=torch.float32)
    results = []
    for dtype in (torch.float32, torch.float64):
        rows = student.to(dtype).requires_grad_()
        value = loss(rows, teacher.to(dtype))
        results.append((value.double(), torch.autograd.grad(value, rows)[0].double()))
    (value, gradient), (exact, expected) = results
    torch.testing.assert_close(value, exact, rtol=1e-6, atol=0)
    assert (gradient - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("elements", [1, 700, 2000])
def test_angles_in_blocks_are_those_of_the_whole(elements: int) -> None:
    student, teacher, mask = draw(12, 5).requires_grad_(), draw(12, 4, seed=1), torch.arange(12) % 5 > 0
    whole = rkd_angle(student, teacher, mask)
    expected = torch.autograd.grad(whole, student)
    with block_limit(elements):
        value = rkd_angle(student, teacher, mask)
    torch.testing.assert_close(value, whole)
    torch.testing.assert_close(torch.autograd.grad(value, student), expected)


def test_angles_in_blocks_compile_whole() -> None:
    student, teacher = draw(12, 5).requires_grad_(), draw(12, 4, seed=1)
    torch.compiler.reset()
    with block_limit(700):
        value = torch.compile(rkd_angle, fullgraph=True, backend="aot_eager")(student, teacher)
        expected = rkd_angle(student, teacher)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, student), torch.autograd.grad(expected, student))
