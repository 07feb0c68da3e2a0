from __future__ import annotations

import pytest
import torch

from core.objective import by_hand, found, micro_batches, pointwise, whole_batch
from core.toys import make_batch
from limbeck.core import Counts
from limbeck.errors import ArgumentError
from refusals import refused


def test_the_whole_batch_at_once():
    distiller, (loss, expected) = pointwise(), by_hand()
    out = distiller(whole_batch())
    torch.testing.assert_close(out.loss().detach(), loss, rtol=1e-6, atol=0)
    out.loss().backward()
    torch.testing.assert_close(found(distiller), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 2, 0, 4, 1, 3)])
def test_gradients_of_micro_batches_add_up_to_those_of_the_whole_batch(order):
    distiller, (loss, expected) = pointwise(), by_hand()
    distiller.prepare([whole_batch()])
    batches = [(micro_batches(0) + micro_batches(1))[i] for i in order]
    assert any(not batch["admitted"].any() for batch in batches)
    counts = distiller.counts(iter(batches))
    total = torch.zeros((), dtype=torch.float64)
    for batch in batches:
        part = distiller(batch).loss(counts)
        part.backward()
        total += part.detach()
    torch.testing.assert_close(total, loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(found(distiller), expected, rtol=1e-6, atol=1e-9)


def test_counts_are_those_of_the_masks():
    distiller, batch = pointwise(), whole_batch()
    distiller.prepare([batch])
    counts = distiller.counts(micro_batches(0) + micro_batches(1))
    labelled = (batch["admitted"] & (batch["target"] != -100)).sum()
    expected = {"hard": labelled, "soft": 24, "hint": batch["chosen"].sum()}
    assert {name: int(count) for name, count in counts.per_term.items()} == {k: int(v) for k, v in expected.items()}
    assert (counts.micro_batches, counts.world) == (6, 1)
    assert isinstance(counts, Counts)


def test_counts_need_no_forward():
    distiller = pointwise().prepare([whole_batch()])
    distiller.students["student"].model.register_forward_pre_hook(lambda *_: pytest.fail("the student ran"))
    counts = distiller.counts(micro_batches(0))
    assert counts.micro_batches == len(list(micro_batches(0)))


def test_nothing_admitted_anywhere_is_a_loss_of_the_other_terms_alone():
    distiller = pointwise()
    batch = {**whole_batch(), "admitted": torch.zeros(24, dtype=torch.bool), "chosen": torch.zeros(24).bool()}
    distiller.prepare([batch])
    out = distiller(batch)
    expected = 1.5 * 0.5 * out.terms["soft"].value + 9
    for loss in (out.loss(), out.loss(distiller.counts([batch]))):
        torch.testing.assert_close(loss, expected)
    out.loss().backward()
    assert all(gradient.isfinite().all() for gradient in found(distiller).values())


def test_no_micro_batch_is_refused():
    with refused(ArgumentError, "missing", "micro_batches"):
        pointwise().counts([])


def test_nan_in_rows_that_no_term_admits_harms_nothing():
    distiller, (_, expected) = pointwise(), by_hand()
    distiller.prepare([whole_batch()])
    batch = whole_batch()
    batch["confidence"][~batch["chosen"]] = torch.nan
    distiller(batch).loss().backward()
    torch.testing.assert_close(found(distiller), expected, rtol=1e-6, atol=1e-9)


def test_a_batch_of_float32_gives_a_float32_loss():
    distiller = pointwise().float()
    batch = {**make_batch(6, dtype=torch.float32), "confidence": torch.ones(6), "chosen": torch.ones(6).bool()}
    assert distiller(batch).loss().dtype == torch.float32
