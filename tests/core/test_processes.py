"""Two processes with DistributedDataParallel against the whole batch in one process."""

from __future__ import annotations

import pytest
import torch

from core import ranks as tasks
from core.objective import ROWS, by_hand, relation_by_hand, whole_batch
from limbeck.core import world_size
from limbeck.core.processes import gathered, summed

CHOSEN = whole_batch()["chosen"].nonzero().flatten()


def test_one_process():
    values, mask = gathered({"student": torch.ones(2)}, torch.ones(2, dtype=torch.bool))
    assert (world_size(), summed(torch.ones(())), len(values["student"]), len(mask)) == (1, 1, 2, 2)


def test_the_size_of_the_world(ranks):
    assert ranks(tasks.size) == [2, 2]


def test_two_processes_with_three_micro_batches_each_give_the_gradients_of_the_whole_batch(ranks):
    loss, expected = by_hand()
    for gradients, mean_loss in ranks(tasks.gradients_of_micro_batches):
        torch.testing.assert_close(gradients, expected, rtol=1e-6, atol=1e-9)
        assert mean_loss == pytest.approx(loss.item(), rel=1e-6)


def test_counts_are_summed_over_processes(ranks):
    batch = whole_batch()
    hard = (batch["admitted"] & (batch["target"] != -100)).sum().item()
    for counts in ranks(tasks.counts_of):
        found = {name: count.item() for name, count in counts.per_term.items()}
        assert found == {"hard": hard, "soft": ROWS, "hint": batch["chosen"].sum().item()}
        assert (counts.micro_batches, counts.world) == (3, 2)


def test_a_loss_without_counts_is_refused(ranks):
    for message in ranks(tasks.loss_without_counts):
        assert "several processes train together; give loss(distiller.counts(micro_batches))" in message


@pytest.mark.parametrize("static_graph", [False, True])
def test_processes_stay_in_step(ranks, static_graph):
    one, two = ranks(tasks.train_in_sync, static_graph)
    assert one["moved"]
    assert one["state"]["step"] == 2
    torch.testing.assert_close(one["state"], two["state"], rtol=0, atol=0)


# Rows of the 13 and 11 that each process has: equal shares, unequal ones, and a process with one or no admitted row.
@pytest.mark.parametrize(
    "parts",
    [((0, 11), (0, 11)), ((0, 13), (0, 3)), ((0, 13), (0, 2)), ((0, 4), (2, 11)), ((0, 3), (2, 4))],
    ids=["equal", "unequal", "one row", "none", "one pair"],
)
def test_a_relation_over_all_processes_is_that_of_the_whole_batch(ranks, parts):
    rows = torch.cat([torch.arange(*parts[0]), 13 + torch.arange(*parts[1])])
    rows = rows[torch.isin(rows, CHOSEN)]
    enough = len(rows) >= 2
    for answer in ranks(tasks.gradients_of_relation, True, parts):
        assert answer["count"] == enough
        assert answer["counts"]["relation"] == 2 * enough
        expected = (
            relation_by_hand(rows) if enough else {n: torch.zeros_like(g) for n, g in answer["gradients"].items()}
        )
        torch.testing.assert_close(answer["gradients"], expected, rtol=1e-6, atol=1e-9)


def test_a_relation_without_gathering_is_the_mean_over_micro_batches_with_a_pair(ranks):
    parts = ((0, 13), (0, 11))
    rows = [CHOSEN[CHOSEN < 13], CHOSEN[CHOSEN >= 13]]
    assert [len(r) >= 2 for r in rows] == [True, False]
    for answer in ranks(tasks.gradients_of_relation, False, parts):
        assert answer["counts"]["relation"] == 1
        torch.testing.assert_close(answer["gradients"], relation_by_hand(rows[0]), rtol=1e-6, atol=1e-9)


def test_gathered_rows_are_filled_up_and_gradients_flow_back(ranks):
    own = [torch.arange(6.0).view(2, 3), torch.arange(9.0).view(3, 3) + 100]
    for rank, answer in enumerate(ranks(tasks.gather_values)):
        torch.testing.assert_close(answer["student"], torch.cat([own[0], torch.zeros(1, 3), own[1]]))
        assert answer["mask"].tolist() == answer["flag"].tolist() == [True, True, False, True, True, True]
        assert (answer["size"], answer["scalar"]) == (3, 1)
        # Process r has multiplied by r + 1.
        torch.testing.assert_close(answer["gradient"], torch.full_like(own[rank], 3.0))


def test_the_buffers_of_a_frozen_teacher_are_not_broadcast(ranks):
    assert ranks(tasks.teachers_are_left_alone) == [[0.0] * 4, [1.0] * 4]
