"""Known labels, labelled rows, and masks made of outputs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from core.boards import ADMITTED, ROWS, make_board, randn
from core.toys import KL
from limbeck.core import Ragged, Term
from limbeck.errors import AddressError, ArgumentError
from refusals import refused


class SquaredError(nn.Module):
    """One value for each number of the target."""

    def forward(self, student, target):
        return (student - target).square()


class RowError(nn.Module):
    """One value for all numbers of a row."""

    def forward(self, student, target):
        return (student - target).square().mean(-1)


TARGETS = torch.tensor([[1.0, math.nan], [2.0, 3.0], [math.nan, math.nan], [0.5, 4.0]], dtype=torch.float64)


@pytest.mark.parametrize("trailing", [(), (2,)])
def test_a_floating_target_is_unknown_where_it_is_nan(trailing):
    target = TARGETS if trailing else TARGETS[:, 0]
    student = randn(4, *trailing).requires_grad_()
    term = Term(SquaredError(), {"student": "student.logits"})
    term.prepare([make_board(student, target=target)])
    mean = term(make_board(student, target=target))
    known = ~target.isnan()
    expected = (student[known] - target[known]).square()
    torch.testing.assert_close(mean.sum, expected.sum())
    assert mean.count == term.count({"target": target}) == known.sum()
    torch.testing.assert_close(torch.autograd.grad(mean.sum, student), torch.autograd.grad(expected.sum(), student))


def test_a_loss_over_all_numbers_of_a_row_counts_rows_that_are_known_as_a_whole():
    student, whole = randn(4, 2).requires_grad_(), torch.tensor([False, True, False, True])
    term = Term(RowError())
    board = make_board(student, target=TARGETS)
    term.prepare([board])
    mean = term(board)
    expected = (student - TARGETS)[whole].square().mean(-1).sum()
    torch.testing.assert_close(mean.sum, expected)
    assert mean.count == term.count(board["batch"]) == 2
    torch.testing.assert_close(torch.autograd.grad(mean.sum, student), torch.autograd.grad(expected, student))


@pytest.mark.parametrize("target", [torch.zeros(ROWS, dtype=torch.int64), torch.zeros(ROWS, dtype=torch.float64)])
@pytest.mark.parametrize("where", [None, "batch.labelled", "batch.chosen"])
def test_a_term_that_reads_the_label_counts_labelled_rows(target, where):
    class Loss(nn.Module):
        def forward(self, student, target):
            return student.mean(-1) - target

    chosen = torch.tensor([True, True, True, True, False, False])
    board = make_board(target=target, labelled=ADMITTED, chosen=chosen)
    term = Term(Loss(), where=where)
    term.prepare([board])
    rows = ADMITTED & chosen if where == "batch.chosen" else ADMITTED
    mean = term(board)
    assert mean.count == term.count(board["batch"]) == rows.sum()
    torch.testing.assert_close(mean.sum, Loss()(board["student"]["logits"], target)[rows].sum())


def test_every_row_counts_as_labelled_where_the_batch_does_not_say():
    board = make_board()
    mean = Term(KL(), where="batch.labelled")(board)
    torch.testing.assert_close(mean, Term(KL())(board))
    with pytest.raises(AddressError, match="has no 'labeled'"):
        Term(KL(), where="batch.labeled")(make_board(index=torch.arange(ROWS)))


def test_a_list_of_boxes_is_labelled_by_rows():
    class Boxes(nn.Module):
        def forward(self, student, target):
            seen.append(target)
            sums = torch.zeros(len(target), dtype=student.dtype).index_add(0, target.rows, target.values.sum(1))
            return student.mean(-1) - sums

    seen: list[Ragged] = []
    boxes = Ragged.of(
        [
            torch.full((length, 4), math.nan if length == 3 else 1.0, dtype=torch.float64)
            for length in (1, 3, 0, 2, 3, 1)
        ]
    )
    board = make_board(target=boxes, labelled=ADMITTED)
    mean = Term(Boxes())(board)
    assert seen[0].values.dtype == torch.float64
    assert seen[0].lengths.tolist() == [1, 3, 0, 2, 3, 1]
    expected = board["student"]["logits"].mean(-1)[ADMITTED] - torch.tensor([4.0, 0.0, 8.0, 4.0])
    torch.testing.assert_close(mean.sum, expected.sum())
    assert mean.count == 4


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64])
@pytest.mark.parametrize("where", [None, "batch.labelled"])
def test_a_mask_made_of_outputs_is_a_factor_that_does_not_count(dtype, where):
    board = make_board(labelled=ADMITTED)
    sure = board["teacher"]["logits"].amax(-1) > 0.5
    board["teacher"]["sure"] = sure.to(dtype)
    term = Term(KL(), scale="teacher.sure", where=where)
    term.prepare([board])
    rows = ADMITTED if where else torch.ones(ROWS, dtype=torch.bool)
    mean = term(board)
    torch.testing.assert_close(mean.sum, unreduced(board)[rows & sure].sum())
    assert mean.sum.dtype == torch.float64
    assert mean.count == term.count(board["batch"]) == rows.sum()


def unreduced(board):
    return KL()(board["student"]["logits"], board["teacher"]["logits"])


@pytest.mark.parametrize("where", ["teacher.sure", "student.mask"])
def test_a_denominator_that_needs_a_forward_is_refused(where):
    with refused(ArgumentError, "unsupported", "where"):
        Term(KL(), where=where)
