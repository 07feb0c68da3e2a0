from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.data import TextSet, TextViews, WordCopies, WordSubstitution
from limbeck.errors import ArgumentError
from limbeck.models import masked_language_model
from refusals import refused
from tasks.small_masked import masked_bert
from tasks.small_texts import bert, review

ROWS = [(review(row)[0],) for row in range(6)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def texts(views_of_rows: TextViews, rows: list[int], views: list[int]) -> list[tuple[str, ...]]:
    held = [row for file in views_of_rows.data.files for row in file.rows]
    return [held[position] for position in views_of_rows.position(torch.tensor(rows), torch.tensor(views)).tolist()]


def some(rows: list[tuple[str, ...]] = ROWS) -> TextSet:
    index = torch.arange(10, 10 + len(rows))
    return TextSet.of(rows, torch.arange(len(rows)) % 2, ("negative", "positive"), index=index)


def copies(folder: Path, **options: int) -> WordCopies:
    return WordCopies(folder=str(masked_bert(folder / "masked")), candidates=3, **{"copies": 2, **options})


def test_looks_are_the_row_and_then_its_copies_in_turn(tmp_path: Path) -> None:
    found = copies(tmp_path).of(some())
    model = masked_language_model(folder=str(tmp_path / "masked"))
    substitution = WordSubstitution(model, model.tokenizer, candidates=3)
    for row, (text,) in enumerate(ROWS):
        expected = [(text,), *((substitution(text, row=10 + row, copy=copy),) for copy in range(2))]
        assert texts(found, [row] * 4, [0, 1, 2, 3]) == [*expected, expected[0]]
    assert found.copies == 12
    assert found.unchanged == sum(texts(found, [row], [copy]) == [ROWS[row]] for row in range(6) for copy in (1, 2))
    assert found.data.target.tolist() == some().target.tolist()
    assert found.data.texts == ROWS


def test_they_depend_on_the_number_of_a_row_and_not_on_its_neighbours(tmp_path: Path) -> None:
    whole, part = (copies(tmp_path).of(some().subset(torch.tensor(rows))) for rows in ([0, 1, 2, 3, 4, 5], [4, 1]))
    assert texts(whole, [4, 1], [1, 2]) == texts(part, [0, 1], [1, 2])


def test_they_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = copies(tmp_path).of(some())
    with monkeypatch.context() as patch:
        patch.setattr(WordSubstitution, "copies", None)
        assert texts(copies(tmp_path).of(some()), [0, 5], [1, 2]) == texts(made, [0, 5], [1, 2])
    assert texts(copies(tmp_path, seed=1).of(some()), [0, 1, 2], [1] * 3) != texts(made, [0, 1, 2], [1] * 3)


def test_another_model_makes_others(tmp_path: Path) -> None:
    first = copies(tmp_path).of(some())
    masked_bert(tmp_path / "masked", seed=1)
    second = WordCopies(folder=str(tmp_path / "masked"), candidates=3, copies=2).of(some())
    assert texts(first, [0, 1, 2], [1] * 3) != texts(second, [0, 1, 2], [1] * 3)


def test_both_texts_of_a_pair_change_by_draws_of_their_own(tmp_path: Path) -> None:
    pairs = [(text, text) for (text,) in ROWS]
    found = copies(tmp_path).of(some(pairs))
    made = texts(found, [0, 1, 2, 3, 4, 5], [1] * 6)
    assert all(len(row) == 2 for row in made)
    assert any(first != second for first, second in made)


def test_what_is_refused(tmp_path: Path) -> None:
    with refused(ArgumentError, "out_of_range", "copies"):
        WordCopies(folder="a", copies=0)
    with refused(ArgumentError, "not_found", "folder"):
        WordCopies(folder=str(tmp_path / "none")).of(some())
    encoder = bert(tmp_path / "encoder", classes=None)
    with pytest.raises(ArgumentError, match=r"encoder has no head for words; give a masked language model"):
        WordCopies(folder=str(encoder)).of(some())
