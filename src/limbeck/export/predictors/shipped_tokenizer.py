"""The tokenizer beside an exported file: the same tokens as in training, by `tokenizers` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError, ExportError

__all__ = ["ShippedTokenizer"]

Integers = NDArray[np.int64]


class ShippedTokenizer:
    """Texts, pairs of texts or lists of words as the inputs of a model.

    Args:
        folder: with ``tokenizer.json``, whose truncation and padding are those of training, and
            ``tokenizer_config.json``.
        names: the inputs that the model takes.

    Raises:
        ArgumentError: if `tokenizers` is not installed.
        ExportError: if a file is missing or unreadable, or does not say how to truncate and pad.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.names = names
        self._tokenizer = _loaded(folder)
        padding = self._tokenizer.padding
        if padding is None or self._tokenizer.truncation is None:
            raise ExportError(
                f"{folder}/tokenizer.json does not say how to truncate and pad; export the model again",
                code="damaged",
                path=f"{folder}/tokenizer.json",
            )
        self._filler, self._left = padding["pad_id"], padding["direction"] == "left"
        # Rows are padded here: a batch of rows without any token still has one position.
        self._tokenizer.no_padding()

    def texts(self, rows: Sequence[tuple[str, ...]]) -> dict[str, Integers]:
        """The inputs of a batch, int64 ``[B, L]`` by name.

        Args:
            rows: texts as tuples of one, or pairs of texts.
        """
        encoded = self._tokenizer.encode_batch([row if len(row) > 1 else row[0] for row in rows])
        return self._named(self._tokens(encoded))

    def words(self, rows: Sequence[Sequence[str]]) -> tuple[dict[str, Integers], NDArray[np.bool_]]:
        """The inputs of a batch of lists of words.

        Args:
            rows: the words of each.

        Returns:
            int64 ``[B, L]`` by name, and as ``words`` ``[B, W]`` the position of the first token of each word; and bool
            ``[B, W]``, False for the words that are cut off with all their tokens.
        """
        encoded = self._tokenizer.encode_batch([list(row) for row in rows], is_pretokenized=True)
        first = [_first_tokens(one.word_ids, len(row)) for one, row in zip(encoded, rows, strict=True)]
        tokens = self._tokens(encoded)
        before = tokens["attention_mask"].argmax(axis=1)[:, None] if self._left else 0
        tokens["words"] = np.maximum(_padded(first, 0, left=False) + before, 0)
        return self._named(tokens), _padded(first, -1, left=False) >= 0

    def _tokens(self, encoded: Sequence[Any]) -> dict[str, Integers]:
        return {
            "input_ids": _padded([one.ids for one in encoded], self._filler, left=self._left),
            "attention_mask": _padded([[1] * len(one.ids) for one in encoded], 0, left=self._left),
            "token_type_ids": _padded([one.type_ids for one in encoded], 0, left=self._left),
        }

    def _named(self, tokens: Mapping[str, Integers]) -> dict[str, Integers]:
        return {name: tokens[name] for name in self.names}


def _loaded(folder: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ArgumentError(
            "texts need the package tokenizers; install limbeck[text]", code="not_installed", path="tokenizers"
        ) from error
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises Exception itself
        raise ExportError(
            f"the tokenizer in {folder} cannot be loaded ({error}); export the model again",
            code="unreadable",
            path=folder,
        ) from error
    # tokenizer.json does not hold it.
    tokenizer.encode_special_tokens = config.get("split_special_tokens", False)
    return tokenizer


def _padded(rows: Sequence[Sequence[int]], filler: int, *, left: bool) -> Integers:
    """Rows filled up to the longest of them, or to one entry: ``[B, L]``."""
    padded = np.full((len(rows), max(1, *map(len, rows))), filler, np.int64)
    for target, row in zip(padded, rows, strict=True):
        if row:
            target[slice(-len(row), None) if left else slice(len(row))] = row
    return padded


def _first_tokens(words: Sequence[int | None], count: int) -> list[int]:
    """The position of the first token of each word, given the word of each token; -1 for a word without tokens."""
    first = [-1] * count
    for position, word in enumerate(words):
        if word is not None and first[word] < 0:
            first[word] = position
    return first
