import copy

import pytest
import torch

from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.losses import FactorTransfer, Overhaul, ReviewKD, VariationalInformation
from losses.inputs import draw_float32


def sample(student: int, teacher: int) -> dict[str, torch.Tensor]:
    return {"student": draw_float32(2, student, 4, 4), "teacher": draw_float32(2, teacher, 4, 4, seed=1)}


LOSSES = [Overhaul, VariationalInformation, lambda: FactorTransfer(paraphraser_steps=1)]


@pytest.mark.parametrize("make", LOSSES)
def test_precision_given_before_sizing_is_kept(make) -> None:
    loss = make().double()
    loss.prepare([sample(3, 5)])
    assert all(tensor.dtype == torch.float64 for tensor in loss.state_dict().values() if tensor.is_floating_point())


@pytest.mark.parametrize("make", LOSSES)
def test_the_size_is_checked(make) -> None:
    loss = make()
    with pytest.raises(ArgumentError, match=r"its size is not known yet; call Distiller\.prepare"):
        loss(**sample(3, 5))
    with pytest.raises(ArgumentError, match=r"have \[3, 6\] channels, but it is sized for \[3, 5\]"):
        loss.prepare([sample(3, 5), sample(3, 6)])


@pytest.mark.parametrize("make", LOSSES)
def test_preparing_again_keeps_what_is_learned(make) -> None:
    loss = make()
    loss.prepare([sample(3, 5)])
    learned = [parameter.detach().clone() for parameter in loss.parameters() if parameter.requires_grad]
    loss.prepare([sample(3, 5)])
    after = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    assert all(torch.equal(a, b) for a, b in zip(learned, after, strict=True))


@pytest.mark.parametrize("make", LOSSES)
def test_the_state_of_an_unsized_one_loads_into_an_unsized_one_only(make) -> None:
    unsized, sized = make(), make()
    sized.prepare([sample(3, 5)])
    make().load_state_dict(unsized.state_dict())
    with pytest.raises(RuntimeError, match="channels"):
        sized.load_state_dict(unsized.state_dict())


def test_a_copy_is_sized_alone() -> None:
    loss = VariationalInformation()
    copied = copy.deepcopy(loss)
    copied.prepare([sample(3, 5)])
    assert not loss.is_sized


def test_half_precision_weights_are_computed_in_float32() -> None:
    features = {"student_1": draw_float32(2, 3, 4, 4), "teacher_1": draw_float32(2, 5, 4, 4)}
    for loss, values in ((ReviewKD(), features), (FactorTransfer(paraphraser_steps=1), sample(3, 5))):
        loss.prepare([values])
        expected = copy.deepcopy(loss).bfloat16().float()(**values)
        torch.testing.assert_close(loss.bfloat16()(**values), expected)


def test_a_term_sizes_it_on_the_board() -> None:
    board = {
        "batch": {"inputs": draw_float32(2, 1)},
        "student": {"stem": draw_float32(2, 3, 4, 4).bfloat16()},
        "teacher": {"stem": draw_float32(2, 5, 8, 8)},
    }
    for make in LOSSES:
        term = Term(make(), {"student": "student.stem", "teacher": "teacher.stem"})
        term.prepare([board])
        mean = term(board)
        assert (mean.count, mean.sum.dtype) == (2, torch.float32)
