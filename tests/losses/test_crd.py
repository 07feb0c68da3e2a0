from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.ranks import Ranks
from core.toys import make_batch
from limbeck.core import Term
from limbeck.errors import ArgumentError
from limbeck.functional import crd
from limbeck.losses import CRD
from limbeck.losses._blocks import block_limit
from losses import contrast_ranks as tasks
from losses.contrast_ranks import BATCH, ROWS, batch_of, make, train
from losses.inputs import draw_float32
from refusals import refused

OTHERS = ~torch.eye(6, dtype=torch.bool)


def embeddings(rows: int = 6, features: int = 8, seed: int = 0) -> Tensor:
    drawn = torch.randn(rows, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(drawn)


def test_gradient_is_that_of_the_objective_over_all_pairs() -> None:
    student, teacher = embeddings().requires_grad_(), embeddings(seed=1).requires_grad_()
    noise = 5 * math.exp(1 / (2 * 8 * 0.5**2))
    scores = (student @ teacher.T / 0.5).exp()
    critic = scores / (scores + noise)
    apart = 5 * ((1 - critic).log() * OTHERS).sum() / 30
    objective = -critic.diagonal().log().mean() - apart
    value = crd(student, teacher, student.detach(), teacher.detach(), OTHERS, negatives=5, temperature=0.5)
    expected = torch.autograd.grad(objective, (student, teacher), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(value, (student, teacher), retain_graph=True), expected)
    torch.testing.assert_close(value, objective - apart)


def test_random_directions_have_the_score_of_z() -> None:
    rows = embeddings(4096, 32)
    scores = (rows[:2048] @ rows[2048:].T / 0.3).exp()
    # Of directions, the closed form is the limit for many features.
    assert scores.mean().item() == pytest.approx(math.exp(1 / (2 * 32 * 0.3**2)), rel=0.01)


def test_a_matching_pair_costs_less_than_another() -> None:
    rows, bank = embeddings(), embeddings(50, seed=2)
    pairs = torch.ones(6, 50, dtype=torch.bool)
    values = [crd(rows, other, bank, bank, pairs) for other in (rows, rows.roll(1, 0), -rows)]
    assert values == sorted(values)


def test_without_a_bank_the_own_pair_remains() -> None:
    student, teacher, none = embeddings(), embeddings(seed=1), torch.zeros(6, 50, dtype=torch.bool)
    offset = math.log(7) + 1 / (2 * 8 * 0.1**2)
    expected = F.softplus(offset - (student * teacher).sum(dim=1) / 0.1, threshold=1e9).mean()
    bank = embeddings(50, seed=2)
    torch.testing.assert_close(crd(student, teacher, bank, bank, none, negatives=7), expected)
    torch.testing.assert_close(crd(student, teacher, bank[:0], bank[:0], none[:, :0], negatives=7), expected)


def test_masked_rows_have_no_part_at_all() -> None:
    student, teacher, bank = embeddings().requires_grad_(), embeddings(seed=1), embeddings(50, seed=2)
    pairs = torch.rand(6, 50, generator=torch.Generator().manual_seed(3)) < 0.5
    mask = torch.tensor([True, False, True, True, False, False])
    value = crd(student, teacher, bank, bank, pairs, mask)
    torch.testing.assert_close(value, crd(student[mask], teacher[mask], bank, bank, pairs[mask]))
    other = student.detach().where(mask[:, None], torch.nan).requires_grad_()
    assert torch.equal(crd(other, teacher, bank, bank, pairs, mask), value)
    assert torch.equal(
        torch.autograd.grad(value, student)[0],
        torch.autograd.grad(crd(other, teacher, bank, bank, pairs, mask), other)[0],
    )
    assert crd(student, teacher, bank, bank, pairs, torch.zeros_like(mask)) == 0


def test_blocks_are_the_whole() -> None:
    student, teacher, bank = embeddings().requires_grad_(), embeddings(seed=1), embeddings(50, seed=2)
    pairs = torch.rand(6, 50, generator=torch.Generator().manual_seed(3)) < 0.5
    whole = crd(student, teacher, bank, bank, pairs)
    with block_limit(120):
        value = crd(student, teacher, bank, bank, pairs)
    torch.testing.assert_close(value, whole)
    torch.testing.assert_close(torch.autograd.grad(value, student), torch.autograd.grad(whole, student))


@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
def test_finite_at_any_temperature(temperature: float) -> None:
    student, bank = embeddings().float().requires_grad_(), embeddings(50, seed=2).float()
    pairs = torch.ones(6, 50, dtype=torch.bool)
    for teacher in (student.detach(), -student.detach()):
        value = crd(student, teacher, bank, bank, pairs, temperature=temperature)
        assert value.isfinite()
        assert torch.autograd.grad(value, student)[0].isfinite().all()


def test_inputs_that_do_not_fit_are_rejected() -> None:
    rows, bank, pairs = embeddings(), embeddings(50), torch.ones(6, 50, dtype=torch.bool)
    with refused(ArgumentError, "out_of_range", "temperature"):
        crd(rows, rows, bank, bank, pairs, temperature=0.0)
    with refused(ArgumentError, "out_of_range", "negatives"):
        crd(rows, rows, bank, bank, pairs, negatives=0)
    with refused(ArgumentError, "wrong_shape", "student"):
        crd(rows, rows[:, :4], bank, bank, pairs)
    with refused(ArgumentError, "wrong_shape", "pairs"):
        crd(rows, rows, bank[:, :4], bank[:, :4], pairs)
    with refused(ArgumentError, "wrong_shape", "pairs"):
        crd(rows, rows, bank, bank, pairs.float())


WHOLE = [slice(0, BATCH)]


def prepared(**options: float) -> CRD:
    torch.manual_seed(0)
    loss = CRD(**{"features": 8, "negatives": 16, **options})
    loss.prepare([{"student": draw_float32(6, 3), "teacher": draw_float32(6, 4)}])
    return loss


def fill(loss: CRD, rows: int = 40, label: int | None = None) -> None:
    row = torch.arange(rows)
    labels = None if label is None else row % label
    loss(draw_float32(rows, 3, seed=7), draw_float32(rows, 4, seed=8), row, label=labels)
    loss.after_step(1)


def test_draws_depend_on_the_step_and_the_seed_alone() -> None:
    losses = [prepared(), prepared(), prepared(seed=1)]
    row = torch.arange(6)
    for loss in losses:
        fill(loss)
        torch.rand(3)
    first, second, other = (loss._negatives(row, None)[0] for loss in losses)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    losses[0].after_step(2)
    assert not torch.equal(losses[0]._negatives(row, None)[0], first)


def test_negatives_are_other_rows_of_other_classes_that_were_seen() -> None:
    loss = prepared(negatives=100)
    fill(loss, label=5)
    loss.bank._grow(50)
    row, label = torch.tensor([0, 7, 45]), torch.tensor([0, -100, 3])
    student, _, pairs = loss._negatives(row, label)
    assert len(student) == 50
    places = torch.arange(50)
    assert torch.equal(pairs[0], (places < 40) & (places % 5 != 0))
    assert torch.equal(pairs[1], (places < 40) & (places != 7))
    assert torch.equal(pairs[2], (places < 40) & (places % 5 != 3))
    assert torch.equal(loss._negatives(row, None)[2][0], (places < 40) & (places != 0))


def test_a_forward_moves_nothing_and_a_step_does() -> None:
    loss = prepared()
    fill(loss)
    arguments = draw_float32(6, 3), draw_float32(6, 4), torch.arange(6)
    before = copy.deepcopy(loss.state_dict())
    values = [loss(*arguments) for _ in range(3)]
    assert values[0] == values[1] == values[2]
    for name, value in loss.state_dict().items():
        assert torch.equal(value, before[name])
    loss.after_step(2)
    assert loss(*arguments) != values[0]


def test_nothing_is_staged_in_eval_mode_or_without_gradients() -> None:
    loss = prepared()
    arguments = draw_float32(6, 3), draw_float32(6, 4), torch.arange(6)
    loss.eval()(*arguments)
    with torch.no_grad():
        loss.train()(*arguments)
    loss.after_step(1)
    assert not loss.bank.seen.any()


def test_prepare_leaves_the_bank_empty() -> None:
    distiller, _ = make()
    distiller.after_step()
    assert not distiller.terms["contrast"].loss.bank.seen.any()


def test_embeddings_learn_to_separate_pairs() -> None:
    distiller, optimizer = make()
    for group in optimizer.param_groups:
        group["lr"] = 0.02
    values = train(distiller, optimizer, range(150), WHOLE)
    assert sum(values[-10:]) < 0.8 * sum(values[5:15])
    assert distiller.terms["contrast"].loss.bank.seen.sum() == ROWS


def test_micro_batches_are_the_whole_batch() -> None:
    whole, split = make(), make()
    values = train(*whole, range(4), WHOLE)
    assert train(*split, range(4), [slice(0, 4), slice(4, 8)]) == pytest.approx(values, rel=1e-12)
    torch.testing.assert_close(split[0].state_dict(), whole[0].state_dict(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("negatives", [12, 100])
def test_resuming_is_exact(negatives: int) -> None:
    distiller, optimizer = make(negatives)
    train(distiller, optimizer, range(3), WHOLE)
    saved, state = copy.deepcopy(distiller.state_dict()), copy.deepcopy(optimizer.state_dict())
    values = train(distiller, optimizer, range(3, 6), WHOLE)
    resumed, other = make(negatives)
    torch.rand(5)
    resumed.load_state_dict(saved)
    other.load_state_dict(state)
    assert train(resumed, other, range(3, 6), WHOLE) == values
    for name, value in distiller.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_one_graph_for_any_number_of_micro_batches() -> None:
    loss = prepared(rows=40)
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for step in range(1, 4):
        for micro_batch in range(10):
            row = (torch.arange(6) + 6 * micro_batch) % 40
            arguments = draw_float32(6, 3, seed=micro_batch).requires_grad_(), draw_float32(6, 4, seed=micro_batch), row
            torch.testing.assert_close(compiled(*arguments), loss.eval()(*arguments))
            loss.train()
        loss.after_step(step)
        assert loss.bank.seen.sum() == 40
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_inputs_are_checked() -> None:
    loss, student, teacher, row = prepared(), draw_float32(6, 3), draw_float32(6, 4), torch.arange(6)
    with pytest.raises(ArgumentError, match=r"call Distiller\.prepare"):
        CRD()(student, teacher, row)
    with pytest.raises(ArgumentError, match=r"crd: row is torch\.float32 .* read batch\.row"):
        loss(student, teacher, row.float())
    with pytest.raises(ArgumentError, match=r"crd: label is torch\.int64 of shape \[5\]"):
        loss(student, teacher, row, label=row[:5])
    with pytest.raises(ArgumentError, match=r"crd: student has shape \[5, 3\]"):
        loss(student[:5], teacher, row)
    with pytest.raises(ArgumentError, match=r"CRD: the features have \[5, 4\] channels, but it is sized for \[3, 4\]"):
        loss.prepare([{"student": draw_float32(6, 5), "teacher": teacher}])
    for options in ({"temperature": 0.0}, {"negatives": 0}, {"momentum": 1.0}, {"features": 0}, {"rows": 0}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            CRD(**options)


def test_a_term_masks_what_is_staged() -> None:
    loss = prepared()
    batch = {**make_batch(6), "row": torch.arange(6) + 10, "chosen": torch.arange(6) % 2 == 0}
    board = {"batch": batch, "student": {"hidden": draw_float32(6, 3)}, "teacher": {"hidden": draw_float32(6, 4)}}
    inputs = {"student": "student.hidden", "teacher": "teacher.hidden", "row": "batch.row"}
    Term(loss, inputs, where="batch.chosen")(board)
    loss.after_step(1)
    assert loss.bank.seen.nonzero().flatten().tolist() == [10, 12, 14]


# Equal shares of the rows; unequal ones need the rows of both for one mean, as every relational loss does.
@pytest.mark.parametrize(
    ("parts", "options"),
    [
        (((0, 4), (4, 8)), {}),
        (((0, 4), (4, 8)), {"negatives": 100}),
        (((0, 6), (6, 8)), {"gather": True}),
        (((0, 5), (5, 8)), {"gather": True, "where": "batch.chosen"}),
    ],
    ids=["drawn", "all rows", "gathered", "masked"],
)
def test_two_processes_are_one(ranks: Ranks, parts: tuple[tuple[int, int], ...], options: dict) -> None:
    distiller, optimizer = make(**options)
    values = train(distiller, optimizer, range(6), WHOLE)
    one, two = ranks(tasks.train_half, parts, options)
    for name, value in one["state"].items():
        assert torch.equal(two["state"][name], value), name
        for rank in (one, two):
            assert torch.equal(rank["resumed"][name], rank["state"][name]), name
        torch.testing.assert_close(value, distiller.state_dict()[name], rtol=1e-9, atol=1e-12, msg=name)
    means = [(a + b) / 2 for a, b in zip(one["values"], two["values"], strict=True)]
    assert means == pytest.approx(values, rel=1e-9)
    assert one["again"] == one["values"][3:]


def test_the_bank_is_not_broadcast(ranks: Ranks) -> None:
    answers = ranks(tasks.bank_of_another_process)
    assert [answer["bank"] for answer in answers] == [0.0, 1.0]
    assert not any("bank" in name for name in answers[0]["buffers"])


def test_a_process_without_rows_gets_those_of_the_other(ranks: Ranks) -> None:
    one, two = ranks(tasks.one_process_without_rows)
    for name, value in one.items():
        assert torch.equal(two[name], value), name
    prefix = next(name for name in one if name.endswith("bank.seen")).removesuffix("seen")
    assert one[f"{prefix}seen"].nonzero().flatten().tolist() == sorted(batch_of(0)["row"].tolist())
