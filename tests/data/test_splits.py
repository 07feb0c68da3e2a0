"""Splits: disjoint, complete, in proportion, and the same rows whatever else is asked for."""

import pytest
import torch

from limbeck.data.rows.images import ImageSet
from limbeck.data.sources.digits import Digits
from limbeck.data.splits import split
from limbeck.errors import ArgumentError, DataError
from refusals import refused


def make(sizes=(60, 30, 10), start=0, shape=(1, 2, 2)) -> ImageSet:
    target = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    target = target[torch.randperm(len(target), generator=torch.Generator().manual_seed(0))]
    pixels = torch.arange(len(target)).to(torch.uint8)[:, None, None, None].expand(-1, *shape).contiguous()
    return ImageSet.from_tensor(pixels, target, ("a", "b", "c")[: len(sizes)], start=start)


def rows(*sets: ImageSet) -> list[int]:
    return sorted(torch.cat([data.index for data in sets]).tolist())


def test_splits_are_disjoint_complete_and_in_proportion():
    source = {"train": make()}
    parts = split(source, validation=0.2, test=0.3, seed=0)
    assert rows(parts.train, parts.validation, parts.test) == list(range(100))
    for part, expected in ((parts.train, (30, 15, 5)), (parts.validation, (12, 6, 2)), (parts.test, (18, 9, 3))):
        counts = torch.bincount(part.target)
        assert int(counts.sum()) == sum(expected)
        assert (counts - torch.tensor(expected)).abs().max() <= 1
        assert torch.equal(part.images.take(torch.arange(len(part)))[:, 0, 0, 0], part.index.to(torch.uint8))
        assert torch.equal(part.target, source["train"].target[part.index])


def test_rows_depend_on_the_seed():
    source = {"train": make()}
    first, again, other = (split(source, validation=0.2, test=0.3, seed=seed) for seed in (0, 0, 1))
    assert rows(first.test) == rows(again.test) != rows(other.test)
    assert rows(first.validation) == rows(again.validation) != rows(other.validation)


def test_test_rows_do_not_depend_on_validation_nor_both_on_limit():
    source = {"train": make()}
    whole = split(source, validation=0.2, test=0.3, seed=0)
    assert rows(split(source, validation=0.1, test=0.3, seed=0).test) == rows(whole.test)
    fewer = split(source, validation=0.2, test=0.3, seed=0, limit=20)
    assert rows(fewer.test) == rows(whole.test)
    assert rows(fewer.validation) == rows(whole.validation)
    assert len(fewer.train) == 20
    assert set(rows(fewer.train)) < set(rows(whole.train))
    assert (torch.bincount(fewer.train.target) - torch.tensor([12, 6, 2])).abs().max() <= 1


def test_a_test_set_of_the_source_is_used_whole_and_untouched():
    test = make((3, 3, 3), start=100)
    parts = split({"train": make(), "test": test}, validation=0.1, test=0.5, seed=0, limit=30)
    assert parts.test is test
    assert len(parts.validation) == 10


def test_a_validation_set_of_the_source_is_used_whole():
    validation = make((3, 3, 3), start=100)
    parts = split({"train": make(), "validation": validation}, validation=0.5, test=0.1, seed=0)
    assert parts.validation is validation
    assert rows(parts.train, parts.test) == list(range(100))


def test_no_validation_gives_an_empty_set():
    parts = split({"train": make()}, validation=0, test=0.3, seed=0)
    assert len(parts.validation) == 0
    assert len(parts.train) == 70


def test_rows_without_a_label_stay_in_training():
    few, kept = make().with_labels(40, seed=0)
    parts = split({"train": few}, validation=0.2, test=0.2, seed=0)
    assert parts.validation.labelled.all()
    assert parts.test.labelled.all()
    assert set((~kept).nonzero().flatten().tolist()) < set(parts.train.index.tolist())
    assert rows(parts.train, parts.validation, parts.test) == list(range(100))


def test_digits_keep_every_class_in_every_split():
    parts = split(Digits().load(), validation=0.15, test=0.2, seed=0)
    for part in (parts.train, parts.validation, parts.test):
        counts = torch.bincount(part.target, minlength=10)
        assert counts.max() - counts.min() <= 0.1 * counts.max()


@pytest.mark.parametrize(
    ("shares", "code", "path"),
    [
        ({"validation": -0.1, "test": 0.2}, "out_of_range", "validation"),
        ({"validation": 1.0, "test": 0.2}, "out_of_range", "validation"),
        ({"validation": 0.1, "test": 0}, "out_of_range", "test"),
        ({"validation": 0.5, "test": 0.5}, "conflict", "validation"),
    ],
)
def test_shares_that_cannot_be_are_refused_with_its_place(shares, code, path):
    with pytest.raises(ArgumentError) as refused:
        split({"train": make()}, seed=0, **shares)
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"validation": -0.1, "test": 0.2}, r"validation is -0\.1"),
        ({"validation": 0.5, "test": 0.5}, "leave no rows to train on"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares, message):
    with pytest.raises(ArgumentError, match=message):
        split({"train": make()}, seed=0, **shares)


def test_a_class_too_small_for_all_splits_is_refused():
    with refused(DataError, "too_few", "train"):
        split({"train": make((60, 30, 1))}, validation=0, test=0.2, seed=0)
    with refused(DataError, "out_of_range", "test"):
        split({"train": make()}, validation=0, test=0.01, seed=0)
    with refused(DataError, "too_few", "test"):
        split({"train": make(), "test": make((3, 2, 0), start=100)}, validation=0, test=0, seed=0)


@pytest.mark.parametrize("limit", [2, 101])
def test_a_limit_that_cannot_be_is_refused(limit):
    with refused(DataError, "out_of_range", "limit"):
        split({"train": make()}, validation=0, test=0.2, seed=0, limit=limit)


@pytest.mark.parametrize(
    ("test", "code", "path"),
    [
        (make(start=100, shape=(1, 3, 3)), "mismatch", "test"),
        (make((5, 5), start=100), "mismatch", "test"),
        (make(), "duplicate", "index"),
    ],
)
def test_sets_that_disagree_are_refused_with_its_place(test, code, path):
    with pytest.raises(DataError) as refused:
        split({"train": make(), "test": test}, validation=0, test=0, seed=0)
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (make(start=100, shape=(1, 3, 3)), r"test rows have shape \(1, 3, 3\), train rows \(1, 2, 2\)"),
        (make(), "the sets train, test share an index"),
    ],
)
def test_sets_that_disagree_are_refused(test, message):
    with pytest.raises(DataError, match=message):
        split({"train": make(), "test": test}, validation=0, test=0, seed=0)


@pytest.mark.parametrize("names", [["test"], ["train", "dev"]])
def test_sets_of_other_names_are_refused(names):
    with refused(
        DataError, "unknown_name", "source", match=r"the source has the sets \[.*\]; expected train, and optionally"
    ):
        split({name: make() for name in names}, validation=0, test=0.2, seed=0)
