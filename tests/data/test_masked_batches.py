from __future__ import annotations

import pytest
import torch

from data.word_pieces import word_pieces
from limbeck.data import MlmMasking, Plan, TextSet
from limbeck.data.masked_batches import MaskedBatches, masked
from limbeck.data.rows.unlabelled_text import UnlabelledTexts
from limbeck.data.text_batches import TextBatches
from limbeck.data.tokens import TokenizerView
from limbeck.errors import ArgumentError

TEXTS = ["the film is good", "a dull play", "old cast, new players", "the play is bad, the cast is new"] * 4


@pytest.fixture
def batches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> TextBatches:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path_factory.mktemp("kept")))
    texts = [(f"{text} {number % 7} film",) for number, text in enumerate(TEXTS)]
    data = UnlabelledTexts.of_texts(TextSet.of(texts, torch.zeros(16, dtype=torch.int64) - 100, ()))
    plan = Plan(data.labelled, batch_size=4, seed=0)
    readings = {"student": TokenizerView(word_pieces(), ["input_ids", "attention_mask"], 12)}
    return TextBatches(data, plan, {**readings, "teacher": TokenizerView(word_pieces(), ["input_ids"], 9)})


def test_all_models_read_the_same_hidden_words(batches: TextBatches) -> None:
    words = MlmMasking(word_pieces(), share=0.5, seed=1)
    for batch, plain in zip(MaskedBatches(batches, words).iterate(0, 8), batches.iterate(0, 8), strict=True):
        hidden, target = words.hidden(plain["inputs"]["input_ids"], plain["index"], plain["view"])
        assert torch.equal(batch["inputs"]["input_ids"], hidden)
        assert torch.equal(batch["inputs"]["attention_mask"], plain["inputs"]["attention_mask"])
        assert torch.equal(batch["target"], target)
        assert torch.equal(batch["masked"], target != -100)
        shorter = batch["tokens"]["teacher"]["input_ids"]
        # What one model reads of a row is the beginning of what the other reads, but for the last token.
        both = torch.minimum(*(one.ne(0).sum(1) for one in (shorter, hidden))) - 1
        for row, length in enumerate(both.tolist()):
            assert shorter[row, :length].tolist() == hidden[row, :length].tolist()
        assert batch["labelled"].all()
        assert not batch["unlabelled"].any()


def test_a_look_is_that_of_its_view(batches: TextBatches) -> None:
    hidden = MaskedBatches(batches, MlmMasking(word_pieces(), share=0.5))
    rows = torch.arange(16)
    first, again, other = (hidden.view(rows, torch.full((16,), view))["target"] for view in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_hidden_words_nothing_is_asked_for(batches: TextBatches) -> None:
    plain = next(batches.iterate(0, 1))
    batch = masked(plain, None)
    assert torch.equal(batch["inputs"]["input_ids"], plain["inputs"]["input_ids"])
    assert batch["target"].shape == plain["inputs"]["input_ids"].shape
    assert batch["target"].eq(-100).all()
    assert not batch["masked"].any()


def test_padding_on_the_left_would_move_the_words() -> None:
    tokenizer = word_pieces()
    tokenizer.padding_side = "left"
    with pytest.raises(ArgumentError, match=r"pads on the left; set tokenizer\.padding_side to 'right'"):
        MlmMasking(tokenizer)
