"""Which rows of a source are whose: what cannot be divided."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from data.record_files import texts
from limbeck.data import Column, FloatTarget, TableSet, split
from limbeck.data.rows.row_set import UNKNOWN
from limbeck.data.rows.token_labels import TagSet
from limbeck.errors import DataError
from limbeck.tasks import MaskedLanguageModelling, MaskedSettings
from limbeck.tasks.splits import SplitSettings, split_task


def sentences(count: int, *, tagged: bool = True, start: int = 0) -> TagSet:
    """Sentences that each hold both tags: of such rows, a split may lack a class."""
    tags = [[0, 1] if tagged else [UNKNOWN, UNKNOWN]] * count
    index = torch.arange(start, start + count)
    return TagSet.of([("a", "b")] * count, tags, ("x", "y"), index=index)


@pytest.mark.parametrize(
    ("count", "shares", "empty"), [(1, {}, "test"), (3, {"validation": 0.5, "test": 0.4}, "train")]
)
def test_rows_too_few_to_train_and_to_test_on_are_refused(count: int, shares: dict[str, float], empty: str) -> None:
    with pytest.raises(DataError, match=f"^the {empty} split has no row; give more rows or change the shares$"):
        split_task({"train": sentences(count)}, SplitSettings(**shares))


def test_rows_without_labels_may_be_few_and_have_nothing_to_test_on() -> None:
    others = {"train": sentences(1, tagged=False, start=50)}
    rows = split_task({"train": sentences(20)}, SplitSettings(), unlabelled=others)
    assert len(rows.student.rows) == len(rows.teacher.rows) + 1


def table(kinds: str, start: int = 0) -> TableSet:
    """Rows of one column of categories; every second row is of the second class."""
    count, categories = len(kinds), tuple(sorted(set(kinds)))
    codes = torch.tensor([[1 + categories.index(kind)] for kind in kinds])
    column = (Column("kind", categories),)
    index = torch.arange(start, start + count)
    return TableSet(torch.zeros(count, 0), codes, column, torch.arange(count) % 2, index, ("x", "y"))


def test_rows_of_other_tables_have_the_categories_of_the_training_rows() -> None:
    others = {"train": table("bbbcc" * 4)}
    tested = {"train": table("acb" * 10), "test": table("cacb", start=100)}
    given = {"unlabelled": others, "test_from": tested}
    rows = split_task({"train": table("ab" * 10)}, SplitSettings(), **given)
    # "c" is none of them.
    assert rows.test.categorical.flatten().tolist() == [0, 1, 0, 2]
    assert set(rows.student.rows.categorical[~rows.student.rows.labelled].flatten().tolist()) == {0, 2}


@pytest.mark.parametrize("labels", [0, 5])
def test_numbers_to_predict_lose_their_labels(labels: int) -> None:
    target = torch.arange(40.0)
    empty = torch.empty((40, 0), dtype=torch.int64)
    data = TableSet(target[:, None], empty, (Column("n"),), target, torch.arange(40), targets=(FloatTarget("y"),))
    parts = split({"train": data}, validation=0.1, test=0.2, seed=0)
    kept = parts.train.without_labels() if labels == 0 else parts.train.with_labels(labels, seed=0)[0]
    assert int(kept.labelled.sum()) == labels
    assert kept.target[~kept.labelled].isnan().all()
    assert parts.test.labelled.all()


def test_plain_texts_too_few_to_test_on_are_refused(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("one text\nanother\n")
    source = texts("txt", file=str(tmp_path / "texts.txt")).load()
    with pytest.raises(DataError, match=r"^the test split has no row; give more rows or change the shares$"):
        MaskedLanguageModelling(source, MaskedSettings())
