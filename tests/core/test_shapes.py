"""Shapes that a term refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.boards import ROWS, make_board, randn
from core.toys import mlp
from limbeck.core import Distiller, Ragged, Term
from limbeck.errors import ArgumentError
from refusals import refused


class SquaredError(nn.Module):
    def forward(self, student, target):
        return (student - target).square()


@pytest.mark.parametrize(("student", "target"), [((ROWS,), (ROWS, 1)), ((ROWS, 1), (ROWS,)), ((ROWS, 3), (ROWS, 3, 1))])
def test_a_difference_of_unequal_shapes_is_no_broadcast(student, target):
    shorter, longer = sorted((list(student), list(target)), key=len)
    with pytest.raises(ArgumentError) as refusal:
        Term(SquaredError()).prepare([make_board(randn(*student), target=randn(*target))])
    assert f"has shape {shorter} and" in str(refusal.value)
    assert f"{longer}; expected one shape" in str(refusal.value)


def test_class_numbers_beside_one_logit_are_no_quantities():
    class Loss(nn.Module):
        def forward(self, student, target):
            return student[:, 0] * target

    logits, target = randn(ROWS, 1), torch.arange(ROWS) % 2
    board = make_board(logits, target=target)
    term = Term(Loss())
    term.prepare([board])
    torch.testing.assert_close(term(board).value, (logits[:, 0] * target).mean())


@pytest.mark.parametrize(
    "batch",
    [
        {"row": torch.arange(ROWS)},
        {"inputs": torch.zeros(ROWS, 2)},
        {"inputs": {"tokens": torch.zeros(ROWS, 7)}},
        {"row": torch.arange(ROWS), "boxes": Ragged.of([torch.zeros(1, 4)])},
        {},
    ],
)
@pytest.mark.parametrize("returned", [1, ROWS - 1, 3 * ROWS])
def test_a_loss_with_another_number_of_rows_is_refused(batch, returned):
    class Loss(nn.Module):
        def forward(self, student):
            return student.flatten()[:1].expand(returned)

    with refused(ArgumentError, "wrong_shape"):
        Term(Loss())(make_board(**batch))


def test_a_distiller_refuses_it_before_training():
    class Flat(nn.Module):
        def forward(self, student):
            return student.flatten()

    distiller = Distiller(mlp(0), {"flat": Term(Flat())})
    with refused(ArgumentError, "wrong_shape", "terms.flat") as refusal:
        distiller.prepare([{"inputs": randn(6, 6)}])
    assert refusal.value.__notes__ == ["in the term 'flat'"]
