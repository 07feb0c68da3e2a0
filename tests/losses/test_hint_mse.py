import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.functional import hint_mse
from limbeck.losses import HintMSE
from losses.inputs import draw, draw_float32
from refusals import refused


@pytest.mark.parametrize("shape", [(6, 5), (6, 3, 5), (6, 3, 4, 5)])
def test_mean_is_torchs_and_equal_features_cost_0(shape: tuple[int, ...]) -> None:
    student, teacher = draw(*shape), draw(*shape, seed=1)
    value = hint_mse(student, teacher)
    assert value.shape == ((6, 3) if len(shape) == 3 else (6,))
    torch.testing.assert_close(value.mean(), F.mse_loss(student, teacher))
    assert not hint_mse(student, student).any()


def test_values_do_not_depend_on_the_other_rows() -> None:
    student, teacher = draw(6, 3, 4, 4), draw(6, 3, 7, 5, seed=1)
    torch.testing.assert_close(hint_mse(student, teacher)[2:4], hint_mse(student[2:4], teacher[2:4]))


def test_halving_a_map_takes_the_mean_of_four_pixels() -> None:
    student, teacher = draw(6, 3, 8, 4), draw(6, 3, 4, 2, seed=1)
    torch.testing.assert_close(hint_mse(student, teacher), hint_mse(F.avg_pool2d(student, 2), teacher))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (16, 3)])
def test_interpolation_keeps_a_constant_map(size: tuple[int, int]) -> None:
    student = draw(6, 3, 1, 1).expand(6, 3, 5, 4)
    assert hint_mse(student, student[:, :, :1, :1].expand(6, 3, *size)).max() < 1e-30


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ((6, 5), (6, 4)),
        ((6, 5), (7, 5)),
        ((6, 3, 5), (6, 4, 5)),
        ((6, 3, 4, 4), (6, 5, 4, 4)),
        ((6, 3, 4, 4), (5, 3, 4, 4)),
        ((6, 3, 4, 4), (6, 3, 4)),
        ((6,), (6,)),
        ((6, 3, 4, 4, 4), (6, 3, 4, 4, 4)),
    ],
)
def test_shapes_that_do_not_fit_are_rejected(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    with refused(ArgumentError, "wrong_shape", "student") as raised:
        hint_mse(torch.zeros(student), torch.zeros(teacher))
    assert f"{list(student)} and teacher {list(teacher)}" in str(raised.value)


def test_integers_are_rejected() -> None:
    with refused(ArgumentError, "wrong_type", "student"):
        hint_mse(torch.zeros(6, 5, dtype=torch.int64), torch.zeros(6, 5))


def test_term_sizes_it_from_the_board() -> None:
    loss = HintMSE()
    board = {
        "batch": {"inputs": draw_float32(2, 1)},
        "student": {"stem": draw_float32(2, 3, 4, 4)},
        "teacher": {"stem": draw_float32(2, 5, 4, 4)},
    }
    term = Term(loss, {"student": "student.stem", "teacher": "teacher.stem"})
    with pytest.raises(ArgumentError, match=r"call Distiller\.prepare"):
        term(board)
    term.prepare([board])
    assert (loss.projection.in_features, loss.projection.out_features) == (3, 5)
    assert term(board).count == 2


def test_zero_where_the_projection_gives_the_teachers_features() -> None:
    loss = HintMSE(student_features=4, teacher_features=4)
    with torch.no_grad():
        loss.projection.weight.copy_(torch.eye(4))
        nn.init.zeros_(loss.projection.bias)
    for features in (draw_float32(2, 4), draw_float32(2, 3, 4), draw_float32(2, 4, 3, 5)):
        assert not loss(features, features).any()


def test_projection_is_fitted() -> None:
    torch.manual_seed(0)
    loss = HintMSE(student_features=3, teacher_features=2)
    student = draw_float32(64, 3)
    teacher = student @ torch.tensor([[1.0, 0.0], [2.0, -1.0], [0.5, 0.5]]) + 3.0
    optimizer = torch.optim.LBFGS(loss.parameters(), max_iter=50)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(student, teacher).mean()
        value.backward()
        return value

    assert step() > 1
    optimizer.step(step)
    assert loss(student, teacher).mean() < 1e-6


def test_sequences_are_projected_position_by_position() -> None:
    loss = HintMSE(student_features=3, teacher_features=4)
    student, teacher = draw_float32(2, 6, 3), draw_float32(2, 6, 4)
    value = loss(student, teacher)
    assert value.shape == (2, 6)
    torch.testing.assert_close(value[1, 2], hint_mse(loss.projection(student[1, 2:3]), teacher[1, 2:3])[0])


def test_every_sample_is_checked() -> None:
    good, bad = ({"student": draw_float32(2, 3), "teacher": draw_float32(2, width)} for width in (4, 5))
    with pytest.raises(ArgumentError, match="the teacher's features have 5 channels, but it is sized for 4"):
        HintMSE().prepare([good, bad])


def test_copies_before_and_after_sizing_are_independent() -> None:
    unsized = HintMSE()
    first = copy.deepcopy(unsized)
    first.prepare([{"student": draw_float32(2, 3), "teacher": draw_float32(2, 4)}])
    assert not unsized.projection.is_sized
    second = copy.deepcopy(first)
    nn.init.zeros_(second.projection.weight)
    assert first.projection.weight.any()


def test_without_a_projection_features_are_compared_as_they_are() -> None:
    loss = HintMSE(project=False)
    assert not list(loss.parameters())
    loss.prepare([{"student": draw_float32(2, 3), "teacher": draw_float32(2, 3)}])
    teacher = draw_float32(2, 3, 4, 4) + 2
    torch.testing.assert_close(loss(draw_float32(2, 3, 4, 4), teacher), torch.full((2,), 4.0))
    with pytest.raises(ArgumentError):
        loss(draw_float32(2, 4), draw_float32(2, 3))
    with pytest.raises(ArgumentError, match="no projection to size"):
        HintMSE(project=False, student_features=3)
