"""Shares of classes against exact fractions."""

from fractions import Fraction

import pytest
import torch

from limbeck.data.stratified import choose, rarest
from limbeck.errors import DataError
from refusals import refused


@pytest.mark.parametrize("count", [3, 4, 17, 50, 119, 120])
def test_each_class_gets_its_share_to_within_one_row(count):
    target = torch.tensor([0] * 100 + [1] * 17 + [2] * 3)
    rows = choose(target, count, seed=0)
    assert len(rows.unique()) == count
    for label, size in enumerate((100, 17, 3)):
        share = 1 + Fraction((count - 3) * (size - 1), 120 - 3)
        drawn = int((target[rows] == label).sum())
        assert abs(drawn - share) < 1
        assert 1 <= drawn <= size


def test_equal_classes_get_equal_numbers_wherever_their_rows_lie():
    target = torch.arange(60) % 6
    for seed in range(5):
        assert torch.bincount(target[choose(target, 24, seed)]).tolist() == [4] * 6


def test_rows_depend_on_the_seed_alone_and_come_in_order():
    target = torch.arange(60) % 6
    assert torch.equal(choose(target, 24, 1), choose(target, 24, 1))
    assert not torch.equal(choose(target, 24, 1), choose(target, 24, 2))
    assert choose(target, 24, 1).diff().min() > 0


def test_every_row_is_drawn_about_equally_often():
    target = torch.tensor([0] * 10 + [1] * 20)
    times = torch.zeros(30)
    for seed in range(600):
        times[choose(target, 15, seed)] += 1
    assert (times / 600 - 0.5).abs().max() < 0.1


@pytest.mark.parametrize("count", [0, 1, 7])
def test_too_few_or_too_many_rows_are_refused(count):
    with refused(DataError, "out_of_range", "count"):
        choose(torch.arange(6) % 2, count, 0)


def test_rows_of_several_classes_belong_to_the_rarest():
    generator = torch.Generator().manual_seed(0)
    holds = torch.rand(200, 5, generator=generator) < torch.tensor([0.6, 0.3, 0.05, 0.3, 0.1])
    counts = holds.sum(0).tolist()
    expected = [
        min((label for label in range(5) if row[label]), key=lambda label: counts[label], default=5)
        for row in holds.tolist()
    ]
    assert len(set(counts)) == 5
    assert rarest(holds).tolist() == expected
    assert rarest(torch.ones(1, 2, dtype=torch.bool)).tolist() == [0]
