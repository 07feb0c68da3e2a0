from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.toys import CE, KL, Relation, Spy, Squared
from limbeck.core import Mean, Term
from limbeck.errors import ArgumentError
from limbeck.losses import BinaryCrossEntropy

ROWS, CLASSES = 6, 4
ADMITTED = torch.tensor([True, False, True, True, False, True])


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def make_board(student=None, teacher=None, **batch):
    student = randn(ROWS, CLASSES, seed=1) if student is None else student
    teacher = randn(ROWS, CLASSES, seed=2) if teacher is None else teacher
    return {"batch": batch, "student": {"logits": student}, "teacher": {"logits": teacher}}


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

    with pytest.raises(ArgumentError, match="the argument 'attention' of Loss has no default address"):
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
    with pytest.raises(ArgumentError, match="Blind reads nothing; its forward must take at least one tensor by name"):
        Term(Blind())


def test_a_loss_that_reduces_itself_is_refused():
    class Loss(nn.Module):
        def forward(self, student, teacher):
            return (student - teacher).square().mean()

    with pytest.raises(ArgumentError, match="Loss returned one number; a loss returns one value a row"):
        Term(Loss())(make_board())


def test_a_relational_loss_that_does_not_reduce_is_refused():
    class Loss(nn.Module):
        relational = True

        def forward(self, student, mask):
            return student.sum(-1)

    with pytest.raises(ArgumentError, match=r"Loss is relational and returned \[6\]; it returns one number"):
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
    with pytest.raises(ArgumentError, match=r"where='batch\.index' holds values from 0 to 5; a mask is torch\.bool"):
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
    with pytest.raises(ArgumentError, match=r"call Distiller\.prepare with a batch first"):
        term.count(of(3)["batch"])
    term.prepare([of(3), of(5)])
    with pytest.raises(ArgumentError, match=r"KL gives values on axes of several lengths, \[\(3,\), \(5,\)\]; give"):
        term.count(of(3)["batch"])
    # Without counts they may have any length; with counts, a mask of their shape tells how many there are.
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
    with pytest.raises(
        ArgumentError, match=r"KL gives values of shape \[6, 4\], but prepare saw, .* \[3\] behind the ma"
    ):
        term(of(4))
    term.prepare([of(4)])
    term.count(of(4)["batch"])
    assert term(of(4)).count == ADMITTED.sum() * 4
