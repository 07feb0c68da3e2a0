"""Batches of words and tags: against the tokenizer's own words, for two tokenizers at once; entries of a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.data import Plan, TagSet
from limbeck.data.text_batches import TextBatches, read_rows, whole_texts
from limbeck.data.tokens import TokenizerView
from limbeck.models import tagging_words
from tasks.small_tags import CLASSES, sentence, tokenizer

NAMES = ["input_ids", "attention_mask", "words"]
# The last rows have no tags; one word is nothing to a tokenizer that drops what does not print.
WORDS = [*(tuple(sentence(row)[0]) for row in range(30)), ("anna", "\u200b", "met", "."), ("late",)]
TAGS = [*([CLASSES.index(tag) for tag in sentence(row)[1]] for row in range(30)), None, None]
DATA = TagSet.of(WORDS, TAGS, CLASSES)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def reading(made: Any, length: int = 24) -> TokenizerView:
    return TokenizerView(made, NAMES, length, of_words=True)


@pytest.fixture
def readings(tmp_path: Path) -> dict[str, TokenizerView]:
    """Pieces of words with a mark on both ends, and whole words."""
    own = tagging_words([word for row in WORDS for word in row], least=1)
    return {"teacher": reading(tokenizer(tmp_path / "bert")), "student": reading(own)}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("length", [24, 8])
def test_a_word_stands_where_its_first_token_does(tmp_path: Path, side: str, length: int) -> None:
    made = tokenizer(tmp_path / "bert")
    made.padding_side = side
    rows = torch.tensor([30, 4, 9, 31])
    batch = read_rows(DATA, rows, {"own": reading(made, length)})
    chosen = [list(WORDS[row]) for row in rows.tolist()]
    theirs = made(
        chosen, is_split_into_words=True, truncation=True, max_length=length, padding=True, return_tensors="pt"
    )
    assert torch.equal(batch["inputs"]["input_ids"], theirs["input_ids"])
    for at, words in enumerate(chosen):
        owners = theirs.word_ids(at)
        seen = [number in owners for number in range(len(words))]
        assert batch["words"][at].tolist() == [*seen, *[False] * (batch["words"].shape[1] - len(words))]
        for number in range(len(words)):
            if seen[number]:
                assert batch["inputs"]["words"][at, number] == owners.index(number)
    assert bool((batch["inputs"]["words"] >= 0).all())
    lost = sum(map(len, chosen)) - int(batch["words"].sum())
    assert (lost == 1) == (length == 24)


def test_words_count_that_every_model_reads(readings: dict[str, TokenizerView]) -> None:
    readings["teacher"].max_length = 8
    rows = torch.tensor([2, 30, 31])
    batch = read_rows(DATA, rows, readings)
    alone = {name: read_rows(DATA, rows, {name: one}) for name, one in readings.items()}
    assert torch.equal(batch["words"], alone["teacher"]["words"] & alone["student"]["words"])
    assert not batch["words"][1, 1]
    assert bool(alone["student"]["words"][1, 1])
    tags = torch.tensor(TAGS[2])
    expected = tags.where(batch["words"][0, : len(tags)], -100)
    assert batch["target"][0, : len(tags)].tolist() == expected.tolist()
    assert bool((batch["target"][1:] == -100).all())
    assert torch.equal(batch["labelled"], batch["target"] != -100)
    assert torch.equal(batch["unlabelled"], batch["words"] & ~batch["labelled"])


def test_tokens_are_kept_apart_from_those_of_texts(readings: dict[str, TokenizerView]) -> None:
    first = readings["teacher"].of(DATA)
    again = TokenizerView(readings["teacher"].tokenizer, NAMES, 24, of_words=True).of(DATA)
    assert first.starts is not None
    assert again.starts is not None
    assert torch.equal(first.starts.values, again.starts.values)
    assert torch.equal(first.starts.ends, again.starts.ends)
    texts = TokenizerView(readings["teacher"].tokenizer, NAMES[:2], 24)
    assert texts.fingerprint != reading(readings["teacher"].tokenizer).fingerprint


def test_weights_of_words_are_those_of_their_tags(readings: dict[str, TokenizerView]) -> None:
    plan = Plan(DATA.labelled, batch_size=8, seed=0, labelled_share=0.75)
    batch = next(TextBatches(DATA, plan, readings).iterate(0, 1))
    counts = torch.tensor([sum(tags.count(tag) for tags in TAGS if tags) for tag in range(len(CLASSES))])
    weights = counts.sum() / (len(CLASSES) * counts)
    expected = weights[batch["target"].clamp(min=0)].where(batch["target"] != -100, 1.0)
    torch.testing.assert_close(batch["class_weight"], expected)


def test_entries_are_the_words_of_a_set_in_order(readings: dict[str, TokenizerView]) -> None:
    data = DATA.subset(torch.tensor([5, 0, 17]))
    words = [(row, number) for row, own in enumerate(data.words) for number in range(len(own))]
    assert data.entries == len(words)
    rows = torch.tensor([2, 0])
    entries = data.cache_index(rows)
    for at, row in enumerate(rows.tolist()):
        assert [words[entry] for entry in entries[at].tolist() if entry >= 0] == [
            (row, number) for number in range(len(data.words[row]))
        ]
    asked = torch.tensor([0, len(words) - 1, 3, 3])
    batch, positions = TextBatches(data, Plan(data.labelled, batch_size=2, seed=0), readings).query(
        asked, torch.zeros(4, dtype=torch.int64)
    )
    table = batch["row"].unsqueeze(1) * 100 + torch.arange(batch["target"].shape[1])
    assert table[positions].tolist() == [
        row * 100 + number for row, number in (words[entry] for entry in asked.tolist())
    ]


def test_all_rows_come_once(readings: dict[str, TokenizerView]) -> None:
    found = torch.cat([batch["row"] for batch in whole_texts(DATA, 7, readings)])
    assert sorted(found.tolist()) == list(range(len(DATA)))
