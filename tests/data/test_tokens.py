"""Tokens: against the tokenizer itself; kept on disk; batches by length as a function of the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer

from limbeck.data import Plan, TextSet
from limbeck.data.bucketed import Bucketed
from limbeck.data.text_batches import TextBatches, read_rows, whole_texts
from limbeck.data.tokens import TokenizerView
from limbeck.errors import ArgumentError
from refusals import refused
from tasks.small_texts import review, tokenizer

NAMES = ["input_ids", "attention_mask", "token_type_ids"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


@pytest.fixture
def words(tmp_path: Path) -> Any:
    return tokenizer(tmp_path / "words")


def reviews(rows: int) -> TextSet:
    texts = [review(row) for row in range(rows)]
    target = torch.tensor([int(label == "positive") for _, label in texts])
    return TextSet.of([(text,) for text, _ in texts], target, ("negative", "positive"))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("pair", [False, True])
def test_rows_are_what_the_tokenizer_gives(words: Any, side: str, pair: bool) -> None:
    words.padding_side = side
    texts = [(review(row)[0], *([review(row + 50)[0]] if pair else [])) for row in range(40)]
    data = TextSet.of(texts, torch.arange(40) % 2, ("a", "b"))
    rows = torch.tensor([7, 0, 31])
    found = read_rows(data, rows, {"own": TokenizerView(words, NAMES, 9)})["inputs"]
    columns = [list(column) for column in zip(*(texts[row] for row in rows.tolist()), strict=True)]
    theirs = words(*columns, truncation=True, max_length=9, padding=True, return_tensors="pt")
    assert list(found) == NAMES
    for name in NAMES:
        assert torch.equal(found[name], theirs[name]), name


def test_the_rows_that_are_cut_are_those_that_are_too_long(words: Any) -> None:
    data = reviews(100)
    long = [len(words(text)["input_ids"]) > 8 for (text,) in data.texts]
    assert 0 < sum(long) < 100
    assert TokenizerView(words, NAMES, 8).of(data).cut.tolist() == long


def test_texts_are_tokenized_once_for_a_tokenizer_and_a_length(words: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data, calls = reviews(20), []
    real = TokenizerView._tokenized
    monkeypatch.setattr(TokenizerView, "_tokenized", lambda self, rows: calls.append(len(rows)) or real(self, rows))
    first = TokenizerView(words, NAMES, 8).of(data.subset(torch.tensor([3, 4])))
    again = TokenizerView(words, NAMES[:2], 8).of(data.subset(torch.tensor([5])))
    assert calls == [20]
    assert torch.equal(first.ids, again.ids)
    TokenizerView(words, NAMES, 9).of(data)
    words.add_tokens(["lovely2"])
    TokenizerView(words, NAMES, 8).of(data)
    TokenizerView(words, NAMES, 8).of(reviews(21))
    assert calls == [20, 20, 20, 21]


def test_a_reading_is_told_by_all_that_decides_its_inputs(words: Any, tmp_path: Path) -> None:
    prints = [TokenizerView(words, NAMES, 8).fingerprint]
    # A call leaves its own settings in the tokenizer: those do not count.
    words(["a", "b"], padding=True, truncation=True, max_length=3)
    assert TokenizerView(words, NAMES, 8).fingerprint == prints[0]
    prints += [TokenizerView(words, NAMES[:2], 8).fingerprint, TokenizerView(words, NAMES, 9).fingerprint]
    prints += [
        TokenizerView(tokenizer(tmp_path / "b", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]), NAMES, 8).fingerprint
    ]
    words.padding_side = "left"
    prints += [TokenizerView(words, NAMES, 8).fingerprint]
    assert len(set(prints)) == len(prints)


def test_a_tokenizer_that_cannot_pad_or_is_slow_is_refused(words: Any) -> None:
    with refused(ArgumentError, "wrong_type", "tokenizer"):
        TokenizerView(object(), NAMES, 8)
    bare = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(words.backend_tokenizer.to_str()))
    with refused(ArgumentError, "unsupported", "tokenizer"):
        TokenizerView(bare, NAMES, 8)


LENGTHS = torch.arange(500) * 7 % 61


@pytest.mark.parametrize("labelled", [500, 60])
def test_a_stretch_holds_the_rows_of_the_plan_in_batches_of_about_one_length(labelled: int) -> None:
    plan = Plan(torch.arange(500) < labelled, batch_size=8, seed=3)
    bucketed = Bucketed(plan, LENGTHS)
    steps = range(plan.steps_per_epoch)
    ours, theirs = ([one.rows(step) for step in steps] for one in (bucketed, plan))
    for start in range(0, len(steps), 32):
        pairs = [
            sorted(
                (row, view)
                for rows, views in side[start : start + 32]
                for row, view in zip(rows.tolist(), views.tolist(), strict=True)
            )
            for side in (ours, theirs)
        ]
        assert pairs[0] == pairs[1]
    # A labelled row stays in the place of one.
    for (mine, _), (other, _) in zip(ours, theirs, strict=True):
        assert torch.equal(mine < labelled, other < labelled)
    padding = [sum(int(8 * LENGTHS[rows].max() - LENGTHS[rows].sum()) for rows, _ in side) for side in (ours, theirs)]
    assert padding[0] < padding[1] / (4 if labelled == 500 else 1.5)


def test_batches_are_a_function_of_seed_and_step() -> None:
    def rows(seed: int, step: int) -> list[int]:
        plan = Plan(torch.ones(500, dtype=torch.bool), batch_size=8, seed=seed)
        return Bucketed(plan, LENGTHS).rows(step)[0].tolist()

    assert rows(0, 70) == rows(0, 70)
    assert rows(0, 70) != rows(1, 70)
    # The order of the batches is drawn, not that of the lengths.
    longest = [int(LENGTHS[torch.tensor(rows(0, step))].max()) for step in range(32)]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_batches_go_on_where_they_stopped_and_are_shared_by_processes(words: Any) -> None:
    data = reviews(80)
    readings = {"student": TokenizerView(words, NAMES[:2], 16), "teacher": TokenizerView(words, NAMES, 12)}
    plan = Plan(data.labelled, batch_size=8, seed=0)
    whole = list(TextBatches(data, plan, readings).iterate(0, 20))
    for batch, again in zip(whole[13:], TextBatches(data, plan, readings).iterate(13, 20), strict=True):
        assert torch.equal(batch["row"], again["row"])
        assert torch.equal(batch["inputs"]["input_ids"], again["inputs"]["input_ids"])
    parts = [list(TextBatches(data, plan, readings, rank=rank, world=2).iterate(0, 20)) for rank in range(2)]
    for batch, *halves in zip(whole, *parts, strict=True):
        assert torch.equal(batch["row"], torch.cat([half["row"] for half in halves]))
    first = whole[0]
    assert list(first["tokens"]) == ["teacher"]
    assert list(first["tokens"]["teacher"]) == NAMES
    assert torch.equal(first["target"], data.target[first["row"]])
    assert (len(first["inputs"]["input_ids"]), first["inputs"]["input_ids"].shape[1]) == (
        8,
        first["inputs"]["attention_mask"].sum(1).max(),
    )
    with pytest.raises(ArgumentError, match="does not divide by the 3 processes"):
        TextBatches(data, plan, readings, world=3)


def test_evaluation_sees_every_row_once(words: Any) -> None:
    data = reviews(30)
    batches = list(whole_texts(data, 8, {"student": TokenizerView(words, NAMES, 16)}))
    assert sorted(torch.cat([batch["row"] for batch in batches]).tolist()) == list(range(30))
    lengths = [batch["inputs"]["input_ids"].shape[1] for batch in batches]
    assert lengths == sorted(lengths)
