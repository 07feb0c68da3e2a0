"""The small vocabulary of words that students of their own kind read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from limbeck.errors import ArgumentError
from limbeck.registry import register
from limbeck.students.checks import check_positive
from limbeck.students.library import import_library

__all__ = ["word_tokenizer"]

_special = ("[PAD]", "[UNK]", "[SEP]")


@register("tokenizer", "words")
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
    check_positive("word_tokenizer", least=least)
    if size <= len(_special):
        raise ArgumentError(f"word_tokenizer: size is {size}; expected more than the {len(_special)} special entries")
    parts, transformers = import_library("tokenizers", "text"), import_library("transformers", "text")
    words = parts.Tokenizer(parts.models.WordLevel({}, unk_token="[UNK]"))
    words.normalizer = parts.normalizers.Sequence([parts.normalizers.NFKC(), parts.normalizers.Lowercase()])
    words.pre_tokenizer = parts.pre_tokenizers.BertPreTokenizer()
    trainer = parts.trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=least, special_tokens=list(_special), show_progress=False
    )
    words.train_from_iterator(texts, trainer)
    if words.get_vocab_size() == len(_special):
        raise ArgumentError(f"word_tokenizer: no word occurs {least} times; give texts with words, or a smaller least")
    words.post_processor = parts.processors.TemplateProcessing(
        single="$A", pair="$A [SEP] $B", special_tokens=[("[SEP]", words.token_to_id("[SEP]"))]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        sep_token="[SEP]",
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
    )
