"""Sets of texts: rows of a second source, what is refused, what the fingerprint covers."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import FloatTarget, TextSet
from limbeck.errors import DataError


def test_rows_keep_their_numbers_in_subsets_and_behind_others() -> None:
    data = TextSet.of([("a",), ("b",), ("c",)], torch.tensor([0, 1, 0]), ("x", "y"))
    others = TextSet.of([("d",), ("e",)], torch.tensor([-100, -100]), ())
    joined = data.subset(torch.tensor([2, 0])).with_unlabelled(others)
    assert joined.texts == [("c",), ("a",), ("d",), ("e",)]
    assert joined.index.tolist() == [2, 0, 3, 4]
    assert joined.target.tolist() == [0, 0, -100, -100]
    assert joined.subset(torch.tensor([3, 1])).texts == [("e",), ("a",)]


def test_every_part_of_a_set_stands_in_its_fingerprint() -> None:
    one = TextSet.of([("ab",), ("c",)], torch.tensor([0, 1]), ("x", "y"))
    others = [
        TextSet.of([("a",), ("bc",)], torch.tensor([0, 1]), ("x", "y")),
        TextSet.of([("ab",), ("c",)], torch.tensor([1, 1]), ("x", "y")),
        TextSet.of([("ab",), ("c",)], torch.tensor([0, 1]), ("x", "z")),
        TextSet.of([("ab",), ("c",)], torch.tensor([0, 1]), ("x", "y"), index=torch.tensor([0, 5])),
        one.subset(torch.tensor([1, 0])),
        TextSet.of([("ab", "c")], torch.tensor([0]), ("x", "y")),
        TextSet.of([("ab", ""), ("c", "")], torch.tensor([0, 1]), ("x", "y")),
    ]
    prints = [one.fingerprint(), *(other.fingerprint() for other in others)]
    assert len(set(prints)) == len(prints)
    assert TextSet.of([("ab",), ("c",)], torch.tensor([0, 1]), ("x", "y")).fingerprint() == prints[0]


def test_texts_and_pairs_are_not_mixed() -> None:
    with pytest.raises(DataError, match=r"rows have \[1, 2\] texts"):
        TextSet.of([("a",), ("b", "c")], torch.tensor([0, 1]), ("x", "y"))


def test_names_and_units_of_numbers_stand_in_the_fingerprint() -> None:
    target = torch.tensor([0.5, 1.5])
    prints = {
        TextSet.of([("a",), ("b",)], target, targets=(FloatTarget(name, unit),)).fingerprint()
        for name, unit in (("x", ""), ("y", ""), ("x", "m"))
    }
    assert len(prints) == 3
