"""The small vocabularies of words that students of their own kind read: of texts, and of rows of words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from limbeck.errors import ArgumentError
from limbeck.models.checks import check_positive
from limbeck.models.optional_deps import import_library
from limbeck.registry import register

__all__ = ["tagging_words", "word_tokenizer"]

_special = ("[PAD]", "[UNK]", "[SEP]")


@register("tokenizer", "words", inputs="texts")
def word_tokenizer(texts: Iterable[str], *, size: int = 8000, least: int = 1) -> Any:
    """A tokenizer whose vocabulary is the most frequent words of some texts.

    Text is brought to Unicode's NFKC form and small letters, and split at white space and punctuation. Of words that
    are equally frequent, the first in alphabetical order is taken. Other words are ``[UNK]``; two texts have ``[SEP]``
    between them, one has nothing around it. Rows are padded on the right with ``[PAD]``, whose number is 0.

    Args:
        texts: training texts, and no others: what is only in other rows is unknown to the student.
        size: the largest number of entries, with the three special ones.
        least: how often a word must occur.

    Returns:
        A ``PreTrainedTokenizerFast``, with ``input_ids`` and ``attention_mask``; ``save_pretrained(folder)`` writes it
        beside the weights.

    Raises:
        ArgumentError: if transformers is missing, a number is too small, or the texts hold no word.

    >>> tokenizer = word_tokenizer(["A good film, a good cast.", "bad"], size=6)
    >>> tokenizer(["Good film", ""], padding=True)["input_ids"], tokenizer.tokenize("a bad film")
    ([[4, 1], [0, 0]], ['a', '[UNK]', '[UNK]'])
    """
    tokenizer = _frequent_words("word_tokenizer", texts, size=size, least=least, special=_special)
    separator = ("[SEP]", tokenizer.convert_tokens_to_ids("[SEP]"))
    processing = import_library("tokenizers", "text").processors.TemplateProcessing
    tokenizer.backend_tokenizer.post_processor = processing(single="$A", pair="$A [SEP] $B", special_tokens=[separator])
    tokenizer.sep_token = "[SEP]"
    return tokenizer


@register("tokenizer", "words", inputs="words")
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
    return _frequent_words(
        "tagging_words", texts, size=size, least=least, special=("[PAD]", "[UNK]"), whole=True, lowercase=lowercase
    )


def _frequent_words(
    operation: str,
    texts: Iterable[str],
    *,
    size: int,
    least: int,
    special: tuple[str, ...],
    whole: bool = False,
    lowercase: bool = True,
) -> Any:
    """A tokenizer of the most frequent words; each text is one if they are ``whole``, otherwise it is split.

    The first of the ``special`` entries is padding, the second stands for other words.
    """
    check_positive(operation, least=least)
    if size <= len(special):
        raise ArgumentError(
            f"{operation}: size is {size}; expected more than the {len(special)} special entries", path="size"
        )
    parts, transformers = import_library("tokenizers", "text"), import_library("transformers", "text")
    words = parts.Tokenizer(parts.models.WordLevel({}, unk_token=special[1]))
    normal = [parts.normalizers.NFKC(), *([parts.normalizers.Lowercase()] if lowercase else [])]
    words.normalizer = parts.normalizers.Sequence(normal)
    if not whole:
        words.pre_tokenizer = parts.pre_tokenizers.BertPreTokenizer()
    trainer = parts.trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=least, special_tokens=list(special), show_progress=False
    )
    words.train_from_iterator(texts, trainer)
    if words.get_vocab_size() == len(special):
        raise ArgumentError(
            f"{operation}: no word occurs {least} times; give texts with words, or a smaller least",
            code="missing",
            path="texts",
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=special[0],
        unk_token=special[1],
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
    )
