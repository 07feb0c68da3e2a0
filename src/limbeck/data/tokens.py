"""Texts as numbers: tokenized once, kept on disk, padded when a batch is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from limbeck.data.ragged import Ragged, laid, spread
from limbeck.data.rows.texts import Texts
from limbeck.errors import ArgumentError
from limbeck.files import atomic, canonical_hash, user_cache

__all__ = ["TokenizerView", "Tokens", "content"]

_FORMAT = 1
_CHUNK = 10_000


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of some rows, one after the other.

    Args:
        ids: int32, of all rows.
        types: uint8, likewise: which text of a pair; None where the tokenizer does not say it.
        ends: int64 `[N + 1]`: row n stands from ends[n] to ends[n + 1].
        cut: bool `[N]`: the rows that are longer than a model may read.
        starts: of rows of words, the place of the first token of each word; -1 for one that no token is left of.
    """

    ids: Tensor
    types: Tensor | None
    ends: Tensor
    cut: Tensor
    starts: Ragged | None = None

    @property
    def lengths(self) -> Tensor:
        """int64 `[N]`: the number of tokens of each row."""
        return self.ends.diff()

    def padded(self, rows: Tensor, names: Sequence[str], pad: int, *, left: bool, least: int = 1) -> dict[str, Tensor]:
        """These rows as a model takes them, padded to the longest of them.

        Args:
            rows: int64 `[B]`.
            names: of ``input_ids``, ``attention_mask`` and ``token_type_ids``, those that it takes.
            pad: the number that fills up.
            left: pad on the left.
            least: the smallest length.

        Returns:
            int64 `[B, L]` by name.
        """
        position, real = spread(self.ends, rows, least=least, left=left)
        found = {"attention_mask": real.long(), "input_ids": laid(self.ids, position, real, pad)}
        if self.types is not None:
            found["token_type_ids"] = laid(self.types, position, real, 0)
        if self.starts is not None:
            before = real.int().argmax(1, keepdim=True) if left else 0
            found["words"] = (self.starts.padded(rows, 0, least=least) + before).clamp(min=0)
        return {name: found[name] for name in names}


def content(tokenizer: Any) -> dict[str, Any]:
    """What a fast tokenizer makes of texts depends on."""
    found: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    # Both change with every call.
    del found["truncation"], found["padding"]
    return found


class _Filed(Protocol):
    """A set of rows of files."""

    @property
    def files(self) -> tuple[Texts, ...]: ...


class TokenizerView:
    """How one kind of model reads texts: with which tokenizer, which inputs, and how far.

    Args:
        tokenizer: a fast tokenizer of transformers.
        names: the inputs that the model takes.
        max_length: the most tokens of a row.
        of_words: a row is a sequence of words, and a model takes the place of the first token of each, ``words``;
            otherwise it is a text or a pair of them.

    Raises:
        ArgumentError: if the tokenizer is not a fast one, or has nothing to pad with.
    """

    def __init__(self, tokenizer: Any, names: Sequence[str], max_length: int, *, of_words: bool = False) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ArgumentError(
                f"the tokenizer is a {type(tokenizer).__name__}; give a fast one of transformers",
                code="wrong_type",
                path="tokenizer",
            )
        if tokenizer.pad_token_id is None:
            raise ArgumentError(
                f"the {type(tokenizer).__name__} has no pad token; set tokenizer.pad_token",
                code="unsupported",
                path="tokenizer",
            )
        self.tokenizer = tokenizer
        self.names = tuple(names)
        self.max_length = max_length
        self.of_words = of_words
        self._held: dict[tuple[str, ...], Tokens] = {}

    @cached_property
    def _own(self) -> str:
        sides = [self.tokenizer.truncation_side, *self.tokenizer.model_input_names]
        rows = {"of_words": True} if self.of_words else {}
        return canonical_hash(
            {"format": _FORMAT, "tokenizer": content(self.tokenizer), "sides": sides, "length": self.max_length, **rows}
        )

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides a model's inputs beside the texts."""
        pads = [self.tokenizer.pad_token_id, self.tokenizer.padding_side, *self.names]
        return hashlib.sha256(repr((self._own, pads)).encode()).hexdigest()

    def of(self, data: _Filed) -> Tokens:
        """The tokens of all files of a set, to be read at its positions."""
        key = tuple(file.digest for file in data.files)
        if key not in self._held:
            self._held[key] = _concat([self._file(file) for file in data.files])
        return self._held[key]

    def _file(self, file: Texts) -> Tokens:
        name = canonical_hash({"texts": file.digest, "reading": self._own})
        path = user_cache("tokens") / f"{name}.safetensors"
        return _loaded(path) if path.is_file() else self._kept(file, path)

    def _kept(self, file: Texts, path: Path) -> Tokens:
        tokens = self.tokens(file.rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {"ids": tokens.ids, "types": tokens.types, "ends": tokens.ends, "cut": tokens.cut}
        if tokens.starts is not None:
            columns |= {"starts": tokens.starts.values, "start_ends": tokens.starts.ends}
        with atomic(path) as beside:
            save_file({name: column for name, column in columns.items() if column is not None}, beside)
        return tokens

    def tokens(self, rows: Sequence[tuple[str, ...]]) -> Tokens:
        """The tokens of rows that are in no file."""
        parts = [self._tokenized(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)]
        return _concat(parts)

    def _tokenized(self, rows: Sequence[tuple[str, ...]]) -> Tokens:
        columns = [list(map(list, rows))] if self.of_words else [list(column) for column in zip(*rows, strict=True)]
        limit = {"truncation": True, "max_length": self.max_length, "return_overflowing_tokens": True}
        encoded = self.tokenizer(*columns, padding=False, is_split_into_words=self.of_words, **limit)
        # A row that is too long comes in several parts: the first is the one that a model reads.
        row = torch.tensor(encoded["overflow_to_sample_mapping"])
        parts = torch.bincount(row, minlength=len(rows))
        first = (parts.cumsum(0) - parts).tolist()
        ids = [encoded["input_ids"][at] for at in first]
        types = [encoded["token_type_ids"][at] for at in first] if "token_type_ids" in encoded else None
        ends = torch.tensor([0, *map(len, ids)]).cumsum(0)
        flat = torch.tensor([token for one in ids for token in one], dtype=torch.int32)
        which = None if types is None else torch.tensor([kind for one in types for kind in one], dtype=torch.uint8)
        return Tokens(flat, which, ends, parts > 1, self._words(encoded, first, rows))

    def _words(self, encoded: Any, first: Sequence[int], rows: Sequence[tuple[str, ...]]) -> Ragged | None:
        if not self.of_words:
            return None
        starts = [_starts(encoded.word_ids(at), len(row)) for at, row in zip(first, rows, strict=True)]
        return Ragged.of(starts, torch.int32)

    def inputs(self, tokens: Tokens, rows: Tensor, least: int = 1) -> dict[str, Tensor]:
        """These rows (int64 `[B]`) as the model takes them."""
        left = self.tokenizer.padding_side == "left"
        return tokens.padded(rows, self.names, self.tokenizer.pad_token_id, left=left, least=least)


def _starts(words: Sequence[int | None], count: int) -> list[int]:
    """Where each of so many words begins, given the word of each token."""
    starts = [-1] * count
    for position, word in enumerate(words):
        if word is not None and starts[word] < 0:
            starts[word] = position
    return starts


def _concat(parts: Sequence[Tokens]) -> Tokens:
    if len(parts) == 1:
        return parts[0]
    types = [part.types for part in parts if part.types is not None]
    starts = [part.starts for part in parts if part.starts is not None]
    lengths = torch.cat([part.lengths for part in parts])
    return Tokens(
        torch.cat([part.ids for part in parts]),
        torch.cat(types) if len(types) == len(parts) else None,
        torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]),
        torch.cat([part.cut for part in parts]),
        Ragged.concat(starts) if starts else None,
    )


def _loaded(path: Path) -> Tokens:
    found = load_file(path)
    starts = Ragged(found["starts"], found["start_ends"]) if "starts" in found else None
    return Tokens(found["ids"], found.get("types"), found["ends"], found["cut"], starts)
