from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from data.word_pieces import SPECIAL, WORDS, masked_model, word_pieces
from limbeck.data import WordSubstitution
from limbeck.errors import ArgumentError
from limbeck.models import word_tokenizer

TEXT = "The film is good, 7 players: DULL plays."


def substitution(**options: Any) -> WordSubstitution:
    return WordSubstitution(masked_model(), word_pieces(), **{"candidates": 3, **options})


def likely(words: list[str], place: int) -> list[str]:
    """Whole words by their score where one is masked, in a forward of its own."""
    model, tokenizer = masked_model().eval(), word_pieces()
    tokens = ["[CLS]", *words, "[SEP]"]
    tokens[place + 1] = "[MASK]"
    with torch.no_grad():
        scores: Tensor = model(torch.tensor([tokenizer.convert_tokens_to_ids(tokens)])).logits[0, place + 1]
    order = [(*SPECIAL, *WORDS)[number] for number in scores[: len(SPECIAL) + len(WORDS)].argsort(descending=True)]
    return [word for word in order if word in WORDS]


def test_candidates_of_one_token_are_the_models_likeliest_words() -> None:
    words = substitution().words(TEXT)
    pieces = word_pieces().tokenize(TEXT)
    assert pieces[:5] == ["the", "film", "is", "good", ","]
    for number, place in enumerate((0, 1, 2, 3)):
        expected = [word for word in likely(pieces, place) if word != pieces[place]][:3]
        assert list(words[number].candidates) == expected
        assert TEXT[words[number].start : words[number].end].lower() == pieces[place]


def test_candidates_of_several_tokens_are_the_nearest_by_cosine() -> None:
    words = substitution().words(TEXT)
    model, tokenizer = masked_model(), word_pieces()
    table = model.get_input_embeddings().weight.detach().numpy()
    for number, pieces in ((4, ["play", "##er", "##s"]), (6, ["play", "##s"])):
        mean = table[tokenizer.convert_tokens_to_ids(pieces)].mean(0)
        cosines = {
            word: table[i] @ mean / np.linalg.norm(table[i]) / np.linalg.norm(mean)
            for word, i in zip(WORDS, range(len(SPECIAL), len(SPECIAL) + len(WORDS)), strict=True)
        }
        assert list(words[number].candidates) == sorted(cosines, key=cosines.__getitem__, reverse=True)[:3]
    assert [TEXT[word.start : word.end] for word in words] == ["The", "film", "is", "good", "players", "DULL", "plays"]


def test_a_copy_is_a_function_of_seed_row_and_copy() -> None:
    one, other = substitution(), substitution()
    first = one.copies(TEXT, row=5, count=4)
    other("another text", row=1, copy=0)
    torch.manual_seed(7)
    assert [other(TEXT, row=5, copy=copy) for copy in (3, 1, 0, 2)] == [first[copy] for copy in (3, 1, 0, 2)]
    assert len({*first, *one.copies(TEXT, row=6, count=4), *substitution(seed=1).copies(TEXT, row=5, count=4)}) > 6


def test_each_word_is_replaced_with_the_probability_by_any_of_its_candidates() -> None:
    made = substitution(probability=0.3)
    words = made.words("good")
    drawn = [made.replaced("good", words, row=row, copy=copy) for row in range(100) for copy in range(40)]
    shares = {word: drawn.count(word) / len(drawn) for word in set(drawn)}
    assert set(shares) == {"good", *words[0].candidates}
    assert shares["good"] == pytest.approx(0.7, abs=0.03)
    assert all(shares[word] == pytest.approx(0.1, abs=0.02) for word in words[0].candidates)


def test_words_of_a_text_are_replaced_independently() -> None:
    made = substitution(probability=0.5)
    words = made.words("good bad")
    drawn = np.array([made.replaced("good bad", words, row=row, copy=0).split() for row in range(2000)])
    kept = drawn == np.array(["good", "bad"])
    assert kept.mean(0) == pytest.approx([0.5, 0.5], abs=0.04)
    assert (kept[:, 0] & kept[:, 1]).mean() == pytest.approx(0.25, abs=0.04)


def test_what_is_no_word_stays() -> None:
    always = substitution(probability=1.0)
    found = always(TEXT, row=0, copy=0)
    assert [character for character in found if not character.isalpha()] == [c for c in TEXT if not c.isalpha()]
    assert not {"film", "good"} & {found.split()[1], found.split()[3]}
    assert substitution(probability=0.0)(TEXT, row=0, copy=0) == TEXT
    assert always("", row=0, copy=0) == ""
    assert always("7, 7.", row=0, copy=0) == "7, 7."


def test_long_texts_end_as_they_are() -> None:
    text = " ".join(["good"] * 30)
    found = substitution(probability=1.0)(text, row=0, copy=0).split()
    assert found[18:] == ["good"] * 12
    assert "good" not in found[:18]


def test_the_model_keeps_its_mode() -> None:
    made = substitution()
    made(TEXT, row=0, copy=0)
    assert made.model.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 1.5}, r"probability is 1.5 and candidates 3"),
        ({"candidates": 0}, r"candidates 0; expected a number in \[0, 1\] and at least 1"),
        ({"candidates": 11}, r"the vocabulary has 11 whole words, expected more than 11"),
        ({"tokenizer": word_tokenizer(["a b"])}, r"expected a tokenizer with a mask token and word pieces"),
    ],
    ids=["probability", "candidates", "vocabulary", "tokenizer"],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    given = {"model": masked_model(), "tokenizer": word_pieces(), "candidates": 3, **options}
    with pytest.raises(ArgumentError, match=message):
        WordSubstitution(**given)
