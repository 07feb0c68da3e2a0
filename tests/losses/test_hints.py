import copy

import pytest
import torch
from torch import nn

from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.functional import hint_mse
from limbeck.losses import HintMSE


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_term_sizes_it_from_the_board() -> None:
    loss = HintMSE()
    board = {
        "batch": {"inputs": draw(2, 1)},
        "student": {"stem": draw(2, 3, 4, 4)},
        "teacher": {"stem": draw(2, 5, 4, 4)},
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
    for features in (draw(2, 4), draw(2, 3, 4), draw(2, 4, 3, 5)):
        assert not loss(features, features).any()


def test_projection_is_fitted() -> None:
    torch.manual_seed(0)
    loss = HintMSE(student_features=3, teacher_features=2)
    student = draw(64, 3)
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
    student, teacher = draw(2, 6, 3), draw(2, 6, 4)
    value = loss(student, teacher)
    assert value.shape == (2, 6)
    torch.testing.assert_close(value[1, 2], hint_mse(loss.projection(student[1, 2:3]), teacher[1, 2:3])[0])


def test_every_sample_is_checked() -> None:
    good, bad = ({"student": draw(2, 3), "teacher": draw(2, width)} for width in (4, 5))
    with pytest.raises(ArgumentError, match="the teacher's features have 5 channels, but it is sized for 4"):
        HintMSE().prepare([good, bad])


def test_copies_before_and_after_sizing_are_independent() -> None:
    unsized = HintMSE()
    first = copy.deepcopy(unsized)
    first.prepare([{"student": draw(2, 3), "teacher": draw(2, 4)}])
    assert not unsized.projection.sized
    second = copy.deepcopy(first)
    nn.init.zeros_(second.projection.weight)
    assert first.projection.weight.any()


def test_without_a_projection_features_are_compared_as_they_are() -> None:
    loss = HintMSE(project=False)
    assert not list(loss.parameters())
    loss.prepare([{"student": draw(2, 3), "teacher": draw(2, 3)}])
    teacher = draw(2, 3, 4, 4) + 2
    torch.testing.assert_close(loss(draw(2, 3, 4, 4), teacher), torch.full((2,), 4.0))
    with pytest.raises(ArgumentError):
        loss(draw(2, 4), draw(2, 3))
    with pytest.raises(ArgumentError, match="no projection to size"):
        HintMSE(project=False, student_features=3)
