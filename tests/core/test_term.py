from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.boards import ADMITTED, CLASSES, ROWS, make_board, randn
from core.toys import CE, KL, Relation, Spy, Squared
from limbeck.core import Mean, Term
from limbeck.errors import ArgumentError
from refusals import refused


def test_a_term_reads_its_default_addresses_and_sums():
    target = torch.tensor([0, 1, 2, 3, 0, 1])
    board = make_board(target=target)
    hard, soft = Term(CE())(board), Term(KL())(board)
    student, teacher = board["student"]["logits"], board["teacher"]["logits"]
    torch.testing.assert_close(hard.value, F.cross_entropy(student, target))
    expected = F.kl_div((student / 2).log_softmax(-1), (teacher / 2).softmax(-1), reduction="batchmean") * 4
    torch.testing.assert_close(soft.value, expected)
    assert hard.count == soft.count == ROWS
    assert isinstance(hard, Mean)
    assert isinstance(hard, tuple)


def test_other_addresses():
    board = make_board()
    board["student"]["exit"] = randn(ROWS, CLASSES, seed=5)
    mean = Term(Squared(), {"student": "student.exit", "teacher": "student.logits"})(board)
    expected = F.mse_loss(board["student"]["exit"], board["student"]["logits"])
    torch.testing.assert_close(mean.value, expected)


def test_another_main_output():
    board = make_board()
    board["student"]["value"] = randn(ROWS, CLASSES, seed=5)
    board["teacher"]["value"] = randn(ROWS, CLASSES, seed=6)
    term = Term(Squared(), main="value")
    assert term.addresses == ("student.value", "teacher.value")
    torch.testing.assert_close(term(board).value, F.mse_loss(board["student"]["value"], board["teacher"]["value"]))
    with pytest.raises(ArgumentError, match=r"the output name 'a\.b' must match"):
        Term(Squared(), main="a.b")


def test_places_in_the_training_set_are_read_from_the_batch():
    class Bank(nn.Module):
        def forward(self, student, row):
            return student[row].sum(-1)

    term = Term(Bank())
    assert term.inputs == {"student": "student.logits", "row": "batch.row"}
    board = make_board(row=torch.arange(ROWS).flip(0))
    torch.testing.assert_close(term(board).sum, board["student"]["logits"].sum())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": {"teachr": "a.b"}}, r"Squared has no argument 'teachr'\. Did you mean 'teacher'\?"),
        ({"where": "teacher.mask"}, r"where='teacher\.mask': the mask of a term is read from the batch"),
        ({"detach": ["studnt"]}, r"detach: Squared has no argument 'studnt'\. Did you mean 'student'\?"),
        ({"gather": True}, r"gather=True is for relational losses"),
    ],
)
def test_a_term_that_cannot_be_right_is_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        Term(Squared(), **options)


def test_a_relational_loss_has_no_rows_to_scale():
    with pytest.raises(ArgumentError, match=r"scale='batch\.factor' weighs rows; Relation is relational"):
        Term(Relation(), scale="batch.factor")


def test_an_argument_without_an_address_is_refused_and_an_optional_one_left_alone():
    class Loss(nn.Module):
        def forward(self, student, attention, temperature=1.0):
            return student.sum(-1) * temperature

    with refused(ArgumentError, "missing", "inputs.attention"):
        Term(Loss())
    assert "temperature" not in Term(Loss(), {"attention": "student.logits"}).inputs


def test_a_loss_that_takes_anything_reads_what_it_names_and_one_that_names_nothing_is_refused():
    class Open(nn.Module):
        def forward(self, student, *rest, **options):
            return student.sum(-1)

    class Blind(nn.Module):
        def forward(self, **anything):
            raise AssertionError

    assert Term(Open()).inputs == {"student": "student.logits"}
    with refused(
        ArgumentError,
        "unsupported",
        "loss",
        match="Blind reads nothing; its forward must take at least one tensor by name",
    ):
        Term(Blind())


def test_a_loss_that_reduces_itself_is_refused():
    class Loss(nn.Module):
        def forward(self, student, teacher):
            return (student - teacher).square().mean()

    with refused(ArgumentError, "wrong_shape", match="Loss returned one number; a loss returns one value a row"):
        Term(Loss())(make_board())


def test_a_relational_loss_that_does_not_reduce_is_refused():
    class Loss(nn.Module):
        relational = True

        def forward(self, student, mask):
            return student.sum(-1)

    with refused(ArgumentError, "wrong_shape"):
        Term(Loss())(make_board())


def test_by_default_arguments_called_teacher_are_detached():
    student, teacher = randn(ROWS, CLASSES, seed=1).requires_grad_(), randn(ROWS, CLASSES, seed=2).requires_grad_()
    Term(Squared())(make_board(student, teacher)).sum.backward()
    assert student.grad is not None
    assert teacher.grad is None
    Term(Squared(), detach=())(make_board(student, teacher)).sum.backward()
    torch.testing.assert_close(teacher.grad, (teacher - student).detach() * 2 / CLASSES)


def test_an_argument_of_several_tensors_is_cast_detached_and_masked():
    class Loss(nn.Module):
        def forward(self, student, teacher_states):
            return sum((student - state).square().mean(-1) for state in teacher_states)

    states = [randn(ROWS, CLASSES, seed=s, dtype=torch.float32).bfloat16().requires_grad_() for s in (5, 6)]
    student = randn(ROWS, CLASSES, dtype=torch.float32).requires_grad_()
    board = make_board(student, labelled=ADMITTED)
    board["teacher"]["states"] = tuple(s.masked_fill(~ADMITTED[:, None], math.nan) for s in states)
    mean = Term(Loss(), {"teacher_states": "teacher.states"}, where="batch.labelled")(board)
    expected = sum((student - s.float()).square().mean(-1) for s in states)[ADMITTED].sum()
    torch.testing.assert_close(mean.sum, expected)
    mean.sum.backward()
    assert student.grad.isfinite().all()
    assert all(state.grad is None for state in states)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_losses_see_float32_without_autocast_and_gradients_return_in_the_dtype_of_the_input(dtype, autocast):
    spy = Spy()
    student = randn(ROWS, CLASSES, seed=1).to(dtype).requires_grad_()
    teacher = randn(ROWS, CLASSES, seed=2).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        mean = Term(spy)(make_board(student, teacher))
        assert torch.is_autocast_enabled("cpu") == autocast
    (seen,) = spy.seen
    assert seen["student"].dtype == seen["teacher"].dtype == mean.sum.dtype == mean.count.dtype == torch.float32
    assert seen["autocast"] is False
    mean.sum.backward()
    assert student.grad.dtype == dtype
    exact = ((student.float() - teacher.float()) * 2 / CLASSES).to(dtype)
    torch.testing.assert_close(student.grad, exact, rtol=0, atol=0)


def test_a_gram_matrix_is_not_rounded_under_autocast():
    board = make_board(randn(ROWS, 64, dtype=torch.float32), randn(ROWS, 64, seed=2, dtype=torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        found = Term(Relation())(board).value
    torch.testing.assert_close(found, Term(Relation())(board).value, rtol=0, atol=0)


def test_float64_stays_float64():
    mean = Term(Squared())(make_board())
    assert mean.sum.dtype == mean.count.dtype == torch.float64


def test_counts_without_a_forward_are_those_of_the_forward():
    target = torch.tensor([0, -100, 2, 3, -100, 1])
    board = make_board(target=target, labelled=ADMITTED, index=torch.arange(ROWS))
    for term in (Term(CE()), Term(CE(), where="batch.labelled"), Term(KL()), Term(Relation())):
        term.prepare([board])
        torch.testing.assert_close(term.count(board["batch"]), term(board).count.float())


@pytest.mark.parametrize("where", [None, "batch.labelled", "batch.both"])
def test_counts_of_positions_whose_number_prepare_has_seen(where):
    mask = randn(ROWS, 3, seed=9) > 0
    board = make_board(randn(ROWS, 3, CLASSES), randn(ROWS, 3, CLASSES), labelled=ADMITTED, both=mask)
    term = Term(KL(), where=where)
    term.prepare([board])
    torch.testing.assert_close(term.count(board["batch"]), term(board).count.float())
    expected = {None: ROWS * 3, "batch.labelled": int(ADMITTED.sum()) * 3, "batch.both": int(mask.sum())}
    assert term.count(board["batch"]) == expected[where]


def test_counts_that_cannot_be_known_are_refused():
    def of(length):
        return make_board(randn(ROWS, length, CLASSES), randn(ROWS, length, CLASSES), labelled=ADMITTED)

    term = Term(KL())
    with refused(ArgumentError, "not_ready"):
        term.count(of(3)["batch"])
    term.prepare([of(3), of(5)])
    with refused(ArgumentError, "unsupported"):
        term.count(of(3)["batch"])
    # Without counts they may have any length; with counts, a mask of their shape has to count them.
    assert [term(of(length)).count for length in (3, 5, 7)] == [ROWS * 3, ROWS * 5, ROWS * 7]
    full = Term(KL(), where="batch.full")
    boards = [of(length) for length in (3, 5)]
    for board in boards:
        board["batch"]["full"] = torch.ones(board["student"]["logits"].shape[:2], dtype=torch.bool)
    full.prepare(boards)
    assert [full.count(board["batch"]) for board in boards] == [full(board).count for board in boards]


def test_a_length_that_counts_have_not_told_is_refused():
    def of(length):
        return make_board(randn(ROWS, length, CLASSES), randn(ROWS, length, CLASSES), labelled=ADMITTED)

    term = Term(KL(), where="batch.labelled")
    term.prepare([of(3)])
    assert term(of(4)).count == ADMITTED.sum() * 4
    term.count(of(4)["batch"])
    with refused(ArgumentError, "wrong_shape"):
        term(of(4))
    term.prepare([of(4)])
    term.count(of(4)["batch"])
    assert term(of(4)).count == ADMITTED.sum() * 4
