"""Which rows and positions a term counts."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.boards import ADMITTED, CLASSES, ROWS, make_board, randn
from core.toys import CE, KL, Relation, Squared
from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.losses import BinaryCrossEntropy
from refusals import refused


@pytest.mark.parametrize("trailing", [(), (3,)], ids=["B", "BT"])
def test_where_equals_the_subset(trailing):
    student, teacher = randn(ROWS, *trailing, CLASSES, seed=1), randn(ROWS, *trailing, CLASSES, seed=2)
    term = Term(KL(), where="batch.labelled")
    masked = term(make_board(student.requires_grad_(), teacher, labelled=ADMITTED))
    subset = Term(KL())(make_board(student[ADMITTED], teacher[ADMITTED]))
    torch.testing.assert_close(masked, subset)
    torch.testing.assert_close(torch.autograd.grad(masked.sum, student), torch.autograd.grad(subset.sum, student))


def test_a_target_of_each_class_is_known_or_unknown_as_a_whole():
    loss = BinaryCrossEntropy()
    target = (randn(ROWS, CLASSES, seed=3) > 0).long()
    board = make_board(target=target.masked_fill(~ADMITTED[:, None], -100))
    term = Term(loss)
    term.prepare([board])
    found = term(board)
    expected = F.binary_cross_entropy_with_logits(
        board["student"]["logits"][ADMITTED], target[ADMITTED].double(), reduction="none"
    )
    torch.testing.assert_close(found.sum, expected.sum())
    assert found.count == term.count(board["batch"]) == 4
    board["batch"]["labelled"] = ADMITTED
    torch.testing.assert_close(Term(loss, where="batch.labelled")(board), found)


def test_a_mask_of_positions():
    student, teacher = randn(ROWS, 3, CLASSES, seed=1), randn(ROWS, 3, CLASSES, seed=2)
    mask = randn(ROWS, 3, seed=9) > 0
    mean = Term(KL(), where="batch.mask")(make_board(student, teacher, mask=mask))
    torch.testing.assert_close(mean.sum, KL()(student, teacher)[mask].sum())
    assert mean.count == mask.sum()


@pytest.mark.parametrize("shape", [(ROWS, 3), (ROWS,)], ids=["where BT", "where B"])
@pytest.mark.parametrize("length", [3, ROWS])
def test_unknown_targets_and_where_are_both_left_out(shape, length):
    shape = (ROWS, length) if len(shape) == 2 else shape
    target = torch.randint(0, CLASSES, (ROWS, length), generator=torch.Generator().manual_seed(1))
    target[0, 1] = target[4] = -100
    chosen = randn(*shape, seed=4) > 0
    student = randn(ROWS, length, CLASSES)
    mean = Term(CE(), where="batch.chosen")(make_board(student, target=target, chosen=chosen))
    admitted = (target != -100) & (chosen if chosen.ndim == 2 else chosen[:, None])
    torch.testing.assert_close(mean.sum, F.cross_entropy(student[admitted], target[admitted], reduction="sum"))
    assert mean.count == admitted.sum()


def test_where_of_positions_beside_a_target_of_rows():
    class Loss(nn.Module):
        def forward(self, student, target):
            return student * target[:, None]

    target = torch.tensor([1, -100, 3, 4, 5, 6])
    chosen = randn(ROWS, ROWS, seed=4) > 0
    student = randn(ROWS, ROWS)
    mean = Term(Loss(), where="batch.chosen")(make_board(student, target=target, chosen=chosen))
    admitted = chosen & (target != -100)[:, None]
    torch.testing.assert_close(mean.sum, (student * target[:, None])[admitted].sum())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("trailing", [(), (3,)], ids=["B", "BT"])
def test_nan_in_masked_rows_reaches_neither_value_nor_gradient(bad, trailing):
    class Weighted(nn.Module):
        def forward(self, student, teacher, target):
            return KL()(student, teacher) + (student.mean(-1) - target).square() + student.norm(dim=-1)

    def run(fill):
        def spoil(tensor):
            return tensor.masked_fill(~ADMITTED.view(-1, *(1,) * (tensor.ndim - 1)), fill)

        student = spoil(randn(ROWS, *trailing, CLASSES, seed=1)).requires_grad_()
        teacher = spoil(randn(ROWS, *trailing, CLASSES, seed=2)).requires_grad_()
        batch = {
            "target": spoil(randn(ROWS, *trailing, seed=3)),
            "factor": spoil(randn(ROWS, seed=4).abs()),
            "admitted": ADMITTED,
        }
        term = Term(Weighted(), where="batch.admitted", scale="batch.factor", detach=())
        mean = term(make_board(student, teacher, **batch))
        mean.sum.backward()
        return mean, student.grad, teacher.grad

    torch.testing.assert_close(run(bad), run(0.5))
    mean, student, teacher = run(bad)
    assert mean.sum.isfinite()
    assert (student[~ADMITTED] == 0).all()
    assert (teacher[~ADMITTED] == 0).all()


def test_nan_in_an_argument_of_rows_under_a_mask_of_positions():
    class Loss(nn.Module):
        def forward(self, student, teacher):
            return (student - teacher[:, None]).square().mean(-1)

    mask = torch.ones(ROWS, 3, dtype=torch.bool)
    mask[2] = mask[4, 0] = False
    student, teacher = randn(ROWS, 3, CLASSES, seed=1).requires_grad_(), randn(ROWS, CLASSES, seed=2)
    clean = Loss()(student, teacher)[mask].sum()
    teacher[2] = math.nan
    mean = Term(Loss(), where="batch.mask")(make_board(student, teacher, mask=mask))
    torch.testing.assert_close(mean.sum, clean)
    torch.testing.assert_close(torch.autograd.grad(mean.sum, student), torch.autograd.grad(clean, student))


def test_no_row_admitted():
    student = randn(ROWS, CLASSES).requires_grad_()
    nobody = torch.zeros(ROWS, dtype=torch.bool)
    mean = Term(KL(), where="batch.nobody")(make_board(student, nobody=nobody))
    assert (mean.sum.item(), mean.count.item(), mean.value.item()) == (0.0, 0.0, 0.0)
    mean.value.backward()
    assert (student.grad == 0).all()


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 3)])
def test_scale_multiplies_and_does_not_count(shape):
    student, teacher = randn(ROWS, 3, CLASSES, seed=1), randn(ROWS, 3, CLASSES, seed=2)
    factor = randn(*shape, seed=5).abs()
    board = make_board(student, teacher, labelled=ADMITTED)
    board["teacher"]["confidence"] = factor
    term = Term(KL(), scale="teacher.confidence", where="batch.labelled")
    mean = term(board)
    expected = KL()(student, teacher) * factor.view(*shape, *(1,) * (2 - len(shape)))
    torch.testing.assert_close(mean.sum, expected[ADMITTED].sum())
    assert mean.count == ADMITTED.sum() * 3
    assert "teacher.confidence" in term.addresses


@pytest.mark.parametrize(
    ("batch", "options", "message"),
    [
        (
            {"m": ADMITTED.float()},
            {"where": "batch.m"},
            r"where='batch\.m' holds torch\.float32; a mask is torch\.bool",
        ),
        ({"m": ADMITTED[:, None].expand(ROWS, 3)}, {"where": "batch.m"}, r"the mask has shape \[6, 3\].* \[6\]"),
        ({"m": ADMITTED[:4]}, {"where": "batch.m"}, r"the mask has shape \[4\], the unreduced loss \[6\]"),
        ({"s": randn(ROWS, ROWS)}, {"scale": "batch.s"}, r"the scale has shape \[6, 6\], the unreduced loss \[6\]"),
        ({"s": randn(1)}, {"scale": "batch.s"}, r"the scale has shape \[1\], the unreduced loss \[6\]"),
    ],
)
def test_masks_and_scales_of_another_shape_are_refused(batch, options, message):
    with pytest.raises(ArgumentError, match=message):
        Term(KL(), **options)(make_board(**batch))


def test_an_attention_mask_is_a_mask():
    student, teacher, tokens = randn(ROWS, 3, CLASSES), randn(ROWS, 3, CLASSES, seed=1), torch.arange(ROWS * 3) % 4 < 3
    boards = [make_board(student, teacher, mask=tokens.view(ROWS, 3).to(dtype)) for dtype in (torch.bool, torch.int64)]
    term = Term(KL(), where="batch.mask")
    term.prepare(boards)
    expected, mean = (term(board) for board in boards)
    assert torch.equal(mean.sum, expected.sum)
    assert mean.count == expected.count == tokens.sum() == term.count(boards[1]["batch"])


def test_integers_that_are_no_mask_are_refused_before_training():
    term = Term(KL(), where="batch.index")
    with refused(ArgumentError, "out_of_range", "where"):
        term.prepare([make_board(index=torch.arange(ROWS))])


def test_a_loss_that_asks_for_masks_prepares_with_them():
    class Loss(Squared):
        def prepare(self, samples, masks):
            self.seen = samples, masks

    student, teacher = randn(ROWS, CLASSES), randn(ROWS, CLASSES, seed=1)
    boards = [make_board(student, teacher, labelled=mask) for mask in (ADMITTED, ADMITTED.long())]
    loss = Loss()
    Term(loss, where="batch.labelled").prepare(boards)
    samples, masks = loss.seen
    assert all(torch.equal(sample["student"], student) for sample in samples)
    assert all(torch.equal(mask, ADMITTED) for mask in masks)
    Term(loss).prepare(boards)
    assert loss.seen[1] == [None, None]


def test_a_relational_loss_with_a_mask_equals_the_subset():
    student = randn(ROWS, CLASSES, seed=1).requires_grad_()
    teacher = randn(ROWS, CLASSES, seed=2)
    spoilt = student.masked_fill(~ADMITTED[:, None], math.nan)
    mean = Term(Relation(), where="batch.labelled")(make_board(spoilt, teacher, labelled=ADMITTED))
    pairs = list(itertools.permutations([0, 2, 3, 5], 2))
    expected = sum((student[i] @ student[j] - teacher[i] @ teacher[j]).square() for i, j in pairs) / len(pairs)
    torch.testing.assert_close(mean.value, expected)
    assert mean.count == 1
    torch.testing.assert_close(torch.autograd.grad(mean.sum, student), torch.autograd.grad(expected, student))


def test_a_mask_that_may_be_none_is_none_where_all_rows_count():
    class Pairs(nn.Module):
        relational = True

        def forward(self, student, mask=None):
            seen.append(mask)
            return student.sum() if mask is None else student[mask].sum()

    seen = []
    board = make_board(randn(ROWS, CLASSES), labelled=ADMITTED)
    mean = Term(Pairs())(board)
    assert seen == [None]
    torch.testing.assert_close(mean.sum, board["student"]["logits"].sum())
    assert mean.count == 1
    assert mean.count.dtype == mean.sum.dtype
    Term(Pairs(), where="batch.labelled")(board)
    assert torch.equal(seen[1], ADMITTED)
    alone = Term(Pairs())(make_board(randn(1, CLASSES)))
    assert seen[2].tolist() == [False]
    assert (alone.sum.item(), alone.count.item()) == (0.0, 0.0)


@pytest.mark.parametrize("admitted", [0, 1])
def test_a_relational_loss_without_a_pair_is_0_with_count_0(admitted):
    student = randn(ROWS, CLASSES).requires_grad_()
    mask = torch.arange(ROWS) < admitted
    term = Term(Relation(), where="batch.labelled")
    board = make_board(student, labelled=mask)
    mean = term(board)
    assert (mean.sum.item(), mean.count.item()) == (0.0, 0.0)
    assert term.count(board["batch"]).item() == 0
    mean.value.backward()
    assert (student.grad == 0).all()
