"""Rows of unequal lengths: against plain lists."""

from __future__ import annotations

import random

import torch

from limbeck.data.ragged import Ragged

ROWS = [[random.Random(row).randrange(100) for _ in range(row * 5 % 7)] for row in range(12)]
RAGGED = Ragged.of(ROWS)


def lists(ragged: Ragged) -> list[list[int]]:
    return [
        ragged.values[a:b].tolist() for a, b in zip(ragged.ends[:-1].tolist(), ragged.ends[1:].tolist(), strict=True)
    ]


def test_rows_and_lengths_are_those_given() -> None:
    assert lists(RAGGED) == ROWS
    assert RAGGED.lengths.tolist() == [len(row) for row in ROWS]
    assert RAGGED.row.tolist() == [number for number, row in enumerate(ROWS) for _ in row]


def test_a_subset_has_these_rows_in_this_order() -> None:
    chosen = [7, 0, 3, 3, 11]
    assert lists(RAGGED.subset(torch.tensor(chosen))) == [ROWS[row] for row in chosen]
    assert lists(RAGGED.subset(torch.tensor([], dtype=torch.int64))) == []


def test_joined_rows_stand_one_behind_the_other() -> None:
    assert lists(Ragged.concat([RAGGED, Ragged.of([[1], []]), RAGGED])) == [*ROWS, [1], [], *ROWS]


def test_padding_fills_up_to_the_longest_or_the_least() -> None:
    for chosen, least in (([2, 5, 0], 1), ([0, 7], 1), ([1], 9)):
        longest = max(least, *(len(ROWS[row]) for row in chosen))
        expected = [ROWS[row] + [-1] * (longest - len(ROWS[row])) for row in chosen]
        assert RAGGED.padded(torch.tensor(chosen), -1, least=least).tolist() == expected
    assert Ragged.of([[], []]).padded(torch.tensor([1, 0]), 3, least=2).tolist() == [[3, 3], [3, 3]]
