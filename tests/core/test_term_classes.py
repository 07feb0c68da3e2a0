"""A term for a teacher that knows some of the classes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.toys import CE, KL, kl_by_hand
from limbeck.core import Term
from limbeck.errors import ArgumentError
from refusals import refused


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_student_s_softmax_runs_over_these_classes_alone():
    student = randn(5, 6).requires_grad_()
    board = {"batch": {}, "student": {"logits": student}, "teacher": {"logits": randn(5, 3, seed=1)}}
    Term(KL(), classes=[4, 0, 2])(board).value.backward()
    by_hand = randn(5, 6).requires_grad_()
    kl_by_hand(by_hand[:, [4, 0, 2]], randn(5, 3, seed=1)).backward()
    torch.testing.assert_close(student.grad, by_hand.grad)
    assert (student.grad[:, [1, 3, 5]] == 0).all()


def test_sequences_masks_and_unknown_classes_that_are_not_finite():
    student = randn(2, 3, 6)
    student[..., 1] = torch.nan
    student[0, 1] = torch.nan
    where = torch.tensor([[True, False, True], [True, True, False]])
    board = {"batch": {"known": where}, "student": {"logits": student}, "teacher": {"logits": randn(2, 3, 3, seed=1)}}
    found = Term(KL(), classes=[5, 0, 2], where="batch.known")(board)
    expected = kl_by_hand(student[where][:, [5, 0, 2]], randn(2, 3, 3, seed=1)[where])
    torch.testing.assert_close(found.value, expected)


def test_every_argument_called_student_and_no_other():
    class Both(nn.Module):
        def forward(self, student_logits, teacher, target):
            return F.cross_entropy(student_logits, target, reduction="none") + teacher.sum(-1)

    board = {"batch": {"target": torch.tensor([1, 0])}, "student": {"logits": randn(2, 6)}}
    board["teacher"] = {"logits": torch.zeros(2, 6, dtype=torch.float64)}
    found = Term(Both(), classes=[3, 5])(board)
    torch.testing.assert_close(found.value, F.cross_entropy(randn(2, 6)[:, [3, 5]], torch.tensor([1, 0])))


def test_it_has_no_state_and_copies():
    term = Term(KL(), classes=[0, 1])
    assert not term.state_dict()
    assert copy.deepcopy(term).half().classes.places.tolist() == [0, 1]


@pytest.mark.parametrize("classes", [[1], [], [0, 0], [-1, 2]])
def test_classes_that_cannot_be_right_are_refused(classes):
    with refused(ArgumentError, "out_of_range", "classes"):
        Term(CE(), classes=classes)


def test_a_class_that_the_student_does_not_have_is_refused():
    board = {"batch": {}, "student": {"logits": randn(5, 4)}, "teacher": {"logits": randn(5, 2)}}
    with refused(ArgumentError, "wrong_shape", "student"):
        Term(KL(), classes=[0, 7])(board)
    with refused(ArgumentError, "wrong_shape", "student"):
        Term(KL(), classes=[0, 7])({**board, "student": {"logits": (randn(5, 4),)}})
