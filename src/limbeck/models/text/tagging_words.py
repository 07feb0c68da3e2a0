"""The vocabulary of words of students that tag them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from limbeck.models.text.word_tokenizer import frequent_words
from limbeck.registry import register

__all__ = ["tagging_words"]


@register("tagging_tokenizer", "words")
def tagging_words(texts: Iterable[str], *, size: int = 8000, least: int = 2, lowercase: bool = False) -> Any:
    """A tokenizer whose vocabulary is the most frequent of some words, each of them one token.

    Words are brought to Unicode's NFKC form. Of words that are equally frequent, the first in alphabetical order is
    taken. Other words are ``[UNK]``. Rows are padded on the right with ``[PAD]``, whose number is 0.

    Args:
        texts: the words of the training rows, and of no others.
        size: the largest number of entries, with the two special ones.
        least: how often a word must occur: with 2, a student sees ``[UNK]`` in training too.
        lowercase: bring words to small letters.

    Returns:
        A ``PreTrainedTokenizerFast``, with ``input_ids`` and ``attention_mask``, for rows of words.

    Raises:
        ArgumentError: if transformers is missing, a number is too small, or no word occurs so often.

    >>> tokenizer = tagging_words(["Ann", "met", "Ann", "at", "St.", "Ives", "St."])
    >>> tokenizer([["Ann", "left", "St."]], is_split_into_words=True)["input_ids"]
    [[2, 1, 3]]
    """
    return frequent_words(
        "tagging_words", texts, size=size, least=least, special=("[PAD]", "[UNK]"), whole=True, lowercase=lowercase
    )
