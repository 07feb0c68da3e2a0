"""Which rows of a source are whose: what cannot be divided."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.data.labelled import UNKNOWN
from limbeck.data.tagged import TagSet
from limbeck.data.txt_files import Txt
from limbeck.errors import DataError
from limbeck.tasks import MaskedLanguageModelling, MaskedSettings
from limbeck.tasks.division import SplitSettings, divide


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
        divide({"train": sentences(count)}, SplitSettings(**shares), TagSet.with_unlabelled)


def test_rows_without_labels_may_be_few_and_have_nothing_to_test_on() -> None:
    others = {"train": sentences(1, tagged=False, start=50)}
    rows = divide({"train": sentences(20)}, SplitSettings(), TagSet.with_unlabelled, unlabelled=others)
    assert len(rows.student.rows) == len(rows.teacher.rows) + 1


def test_plain_texts_too_few_to_test_on_are_refused(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("one text\nanother\n")
    source = Txt(file=str(tmp_path / "texts.txt")).load()
    with pytest.raises(DataError, match=r"^the test split has no row; give more rows or change the shares$"):
        MaskedLanguageModelling(source, MaskedSettings())
