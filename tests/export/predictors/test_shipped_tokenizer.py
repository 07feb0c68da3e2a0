"""Tokens of predictions are those of training, for every kind of tokenizer and text."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import nn

from data.word_pieces import word_pieces
from limbeck.data.tokens import TokenizerView
from limbeck.errors import ExportError
from limbeck.export.predictors.shipped_tokenizer import ShippedTokenizer
from limbeck.models import tagging_words, word_tokenizer
from limbeck.tasks.tokenization import ship_tokenizer

WORDS = [
    "good",
    "Film",
    "the",
    "bads",
    "ing",
    "naïve",
    "Ｇｏｏｄ",
    "猫",
    "don't",
    "3.14",
    "[SEP]",
    "[PAD]",
    "</s>",
    "🙂",
]
MARKS = [" ", "  ", "\t", "\n", ", ", "! ", "-", "\u00a0", "\u200b", "\x00", ""]
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def byte_pairs() -> Any:
    """As RoBERTa's: byte pairs with a space before each word, no types of tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
    )


def bert(lower: bool) -> Any:
    letters = sorted({letter for word in WORDS for letter in word.lower() + word})
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film", "the", "bad", "##s", "##ing", *letters]
    vocabulary = {entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    return transformers.BertTokenizerFast(vocab=vocabulary, do_lower_case=lower)


KINDS: dict[str, Callable[[], Any]] = {
    "bert": lambda: bert(lower=True),
    "bert_cased": lambda: bert(lower=False),
    "word_pieces": word_pieces,
    "byte_pairs": byte_pairs,
    "words": lambda: word_tokenizer([" ".join(WORDS), "good good film"], size=12),
    "tagging_words": lambda: tagging_words([*WORDS, *WORDS[:7]], size=9),
}


class Model(nn.Module):
    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.tokenizer: Any = tokenizer


def texts(count: int, seed: int) -> list[str]:
    """Texts of 0 to 30 parts, most of them short."""
    draw = random.Random(seed)
    return [
        "".join(draw.choice(WORDS) + draw.choice(MARKS) for _ in range(draw.choice([0, 1, 2, 5, 9, 30])))
        for _ in range(count)
    ]


def shipped(tokenizer: Any, folder: Path, max_length: int, names: tuple[str, ...]) -> ShippedTokenizer:
    ship_tokenizer(Model(tokenizer), folder, max_length)
    return ShippedTokenizer(folder, names)


@pytest.mark.parametrize("max_length", [5, 16, 200])
@pytest.mark.parametrize(("padding", "truncation"), [("right", "right"), ("left", "right"), ("right", "left")])
@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_texts_and_pairs(kind: str, pair: bool, padding: str, truncation: str, max_length: int, tmp_path: Path) -> None:
    tokenizer = KINDS[kind]()
    tokenizer.padding_side, tokenizer.truncation_side = padding, truncation
    names = tuple(name for name in NAMES if name in tokenizer.model_input_names)
    rows = list(zip(texts(60, 0), *([texts(60, 1)] if pair else []), strict=True))
    view = TokenizerView(tokenizer, names, max_length)
    ours = shipped(tokenizer, tmp_path, max_length, names)
    for batch in [rows, *([row] for row in rows[::4])]:
        expected = view.inputs(view.tokens(batch), torch.arange(len(batch)))
        found = ours.texts(batch)
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert found[name].dtype == np.int64
            assert np.array_equal(found[name], value.numpy()), (name, batch)


@pytest.mark.parametrize("max_length", [5, 16, 200])
@pytest.mark.parametrize(("padding", "truncation"), [("right", "right"), ("left", "right"), ("right", "left")])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "words"])
def test_words_and_their_first_tokens(
    kind: str, padding: str, truncation: str, max_length: int, tmp_path: Path
) -> None:
    tokenizer = KINDS[kind]()
    tokenizer.padding_side, tokenizer.truncation_side = padding, truncation
    names = (*(name for name in NAMES if name in tokenizer.model_input_names), "words")
    rows = [tuple(row.split()) for row in texts(60, 2) if row.split()]
    view = TokenizerView(tokenizer, names, max_length, of_words=True)
    ours = shipped(tokenizer, tmp_path, max_length, names)
    lost = 0
    for batch in [rows, *([row] for row in rows[::4])]:
        tokens = view.tokens(batch)
        every = torch.arange(len(batch))
        expected = view.inputs(tokens, every)
        found, is_read = ours.words(batch)
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert np.array_equal(found[name], value.numpy()), (name, batch)
        assert tokens.starts is not None
        assert np.array_equal(is_read, (tokens.starts.padded(every, -1) >= 0).numpy())
        lost += int((tokens.starts.values < 0).sum())
    assert (lost > 0) == (max_length < 200)


def test_special_tokens_in_texts_may_be_plain_text(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "sep", "a"]))
    row = ("a [SEP] a",)
    found = {}
    for split in (False, True):
        tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"), split_special_tokens=split)
        view = TokenizerView(tokenizer, ("input_ids",), 20)
        ours = shipped(tokenizer, tmp_path, 20, ("input_ids",)).texts([row])["input_ids"]
        assert np.array_equal(ours, view.inputs(view.tokens([row]), torch.arange(1))["input_ids"].numpy())
        found[split] = ours.tolist()
    assert found[True] != found[False]


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_reads_the_same_folder(kind: str, tmp_path: Path) -> None:
    tokenizer = KINDS[kind]()
    tokenizer(["good"], truncation=True, max_length=3)
    ship_tokenizer(Model(tokenizer), tmp_path, 16)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    rows = texts(40, 3)
    assert loaded(rows)["input_ids"] == tokenizer(rows)["input_ids"]
    assert loaded(rows, padding=True)["input_ids"] == tokenizer(rows, padding=True)["input_ids"]
    # Shipping is not felt by the tokenizer of training, and says the same whatever this one was called with.
    content = (tmp_path / "tokenizer.json").read_text()
    ship_tokenizer(Model(tokenizer), tmp_path, 16)
    assert (tmp_path / "tokenizer.json").read_text() == content


def test_a_folder_without_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be loaded"):
        ShippedTokenizer(tmp_path, NAMES)
    tokenizer = word_tokenizer(["good film"])
    tokenizer.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    assert content["padding"] is None
    with pytest.raises(ExportError, match=r"tokenizer\.json does not say how to truncate and pad"):
        ShippedTokenizer(tmp_path, NAMES)
