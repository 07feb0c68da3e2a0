"""Predictions for the words of texts: a tag for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.export.predictors.classes import softmax
from limbeck.export.predictors.prediction import Prediction
from limbeck.export.predictors.shipped_tokenizer import ShippedTokenizer
from limbeck.export.session import Session

__all__ = ["predict"]

# Letters and digits, with marks between them; any other mark by itself.
_word = re.compile(r"\w+(?:[^\w\s]+\w+)*|[^\w\s]")


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> list[Prediction]:
    """The tags of the words of texts, read with the tokenizer in the folder.

    Args:
        inputs: texts, which are split into words here.
        pairs: none.
        folder: with the tokenizer.
        session: of a file that takes ``words``, and whose main output has a tag in each place of its last axis.

    Raises:
        ArgumentError: if a text has no word, or there are pairs.
    """
    if pairs:
        raise ArgumentError("a sentence has no second text; leave the pair out", code="unsupported", path="pairs")
    rows = [_word.findall(text) for text in inputs]
    for number, words in enumerate(rows, start=1):
        if not words:
            raise ArgumentError(f"text {number} is empty; give it at least one word", code="missing", path="inputs")
    tokens, is_read = ShippedTokenizer(folder, list(session.inputs)).words(rows)
    probabilities = softmax(session(tokens)[session.main])
    tags = session.names[session.main]
    return [
        _tagged(words, row[: len(words)], read[: len(words)], tags)
        for words, row, read in zip(rows, probabilities, is_read, strict=True)
    ]


def _tagged(
    words: Sequence[str], probabilities: NDArray[np.float64], is_read: NDArray[np.bool_], tags: Sequence[str]
) -> Prediction:
    """The tags of one sentence; None for a word that is cut off with all its tokens."""
    found = [
        {
            "word": word,
            "tag": tags[int(row.argmax())] if read else None,
            "probability": float(row.max()) if read else None,
        }
        for word, row, read in zip(words, probabilities, is_read, strict=True)
    ]
    return Prediction({"words": found}, " ".join(f"{one['word']}/{one['tag'] or '?'}" for one in found))
