from __future__ import annotations

import torch

from limbeck.data import TextSet, UnlabelledTexts, split

ROWS = [(f"text {number}",) for number in range(20)]


def plain() -> UnlabelledTexts:
    """Of rows that have labels, but for one class that stands once."""
    target = torch.tensor([0, 1] * 9 + [2, -100])
    return UnlabelledTexts.of_texts(TextSet.of(ROWS, target, ("a", "b", "c"), skipped=("one row",)))


def test_rows_are_split_whatever_their_labels_were() -> None:
    found = split({"train": plain()}, validation=0.1, test=0.25, seed=0)
    assert [len(rows) for rows in (found.train, found.validation, found.test)] == [13, 2, 5]
    assert sorted(text for rows in (found.train, found.validation, found.test) for text in rows.texts) == sorted(ROWS)
    assert all(isinstance(rows, UnlabelledTexts) for rows in (found.train, found.validation, found.test))


def test_rows_of_several_classes_are_texts_like_others() -> None:
    several = TextSet.of(ROWS, torch.eye(20, dtype=torch.int64)[:, :3], ("a", "b", "c"))
    found = UnlabelledTexts.of_texts(several)
    assert (found.texts, found.fingerprint()) == (
        ROWS,
        UnlabelledTexts.of_texts(TextSet.of(ROWS, found.target, ())).fingerprint(),
    )


def test_rows_that_are_not_asked_have_no_label() -> None:
    rows = plain().without_masks().subset(torch.tensor([3, 1]))
    assert rows.texts == [ROWS[3], ROWS[1]]
    assert not rows.labelled.any()
    assert plain().labelled.all()
    assert plain().skipped == ("one row",)
