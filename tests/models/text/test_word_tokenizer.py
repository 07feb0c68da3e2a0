from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from limbeck.errors import ArgumentError
from limbeck.models import word_tokenizer

TEXTS = ["The film is good. The cast, too!", "a film; A FILM", "Ｇｏｏｄ naïve cast", ""]


def test_the_vocabulary_is_pythons_count() -> None:
    tokenizer = word_tokenizer(TEXTS, size=8)
    words = re.findall(r"\w+|\S", unicodedata.normalize("NFKC", " ".join(TEXTS)).lower())
    ranked = sorted(Counter(words).items(), key=lambda pair: (-pair[1], pair[0]))
    expected = ["[PAD]", "[UNK]", "[SEP]", *[word for word, _ in ranked[:5]]]
    vocabulary = tokenizer.get_vocab()
    assert sorted(vocabulary, key=vocabulary.__getitem__) == expected


def test_rare_words_are_left_out() -> None:
    assert set(word_tokenizer(TEXTS, least=3).get_vocab()) == {"[PAD]", "[UNK]", "[SEP]", "film"}


def test_rows_are_padded_right_and_pairs_are_joined() -> None:
    tokenizer = word_tokenizer(["one two three"])
    rows = tokenizer(["one three", "", "two four one"], padding=True)
    assert rows["attention_mask"] == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert tokenizer.convert_ids_to_tokens(rows["input_ids"][0]) == ["one", "three", "[PAD]"]
    assert tokenizer.convert_ids_to_tokens(rows["input_ids"][2]) == ["two", "[UNK]", "one"]
    assert set(rows) == {"input_ids", "attention_mask"}
    pair = tokenizer("one", "two")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(pair) == ["one", "[SEP]", "two"]
    assert (tokenizer.pad_token_id, tokenizer.is_fast) == (0, True)


def test_it_is_saved_and_loaded_beside_a_model(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(TEXTS)
    tokenizer.save_pretrained(tmp_path)
    loaded = hf.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    given: Any = [*TEXTS, "unknown words, and a film"]
    assert loaded(given, padding=True).data == tokenizer(given, padding=True).data
    assert loaded.pad_token_id == 0


def test_texts_decide_alone() -> None:
    assert word_tokenizer(TEXTS).get_vocab() == word_tokenizer(iter(TEXTS[::-1])).get_vocab()


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["a"], {"size": 3}, r"size is 3; expected more than the 3 special entries"),
        (["a"], {"least": 0}, r"word_tokenizer: least is 0"),
        (["a"], {"least": 2}, r"no word occurs 2 times"),
        ([], {}, r"no word occurs 1 times"),
    ],
)
def test_what_gives_no_vocabulary_is_refused(texts: list[str], options: dict[str, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        word_tokenizer(texts, **options)
