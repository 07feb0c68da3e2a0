"""Copies of texts in other words: made once, kept on disk, and seen in turn with the texts themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from limbeck.cache import fingerprint_model
from limbeck.data.rows.texts import Texts, TextSet
from limbeck.data.tokens import content
from limbeck.data.word_substitution import WordSubstitution
from limbeck.errors import ArgumentError
from limbeck.files import canonical_hash, user_cache, write_json
from limbeck.models import masked_language_model

__all__ = ["TextViews", "WordCopies"]

_FORMAT = 1
# Rows of one file: what an interruption can lose.
_CHUNK = 256

_Row = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TextViews:
    """Rows, and the position of each view of them in the files.

    Args:
        data: the rows; its files hold the copies behind the rows' own.
        positions: int64 `[V, N]`, the position of each view of each row in the files. The first is the row as it is.
    """

    data: TextSet
    positions: Tensor

    def position(self, rows: Tensor, views: Tensor) -> Tensor:
        """Where these views (int64 `[B]`) of these rows (int64 `[B]`) stand."""
        return self.positions[views % len(self.positions), rows]

    @property
    def copies(self) -> int:
        """How many there are beside the rows."""
        return self.positions[1:].numel()

    @property
    def unchanged(self) -> int:
        """How many copies say the same as their row."""
        texts = [row for file in self.data.files for row in file.rows]
        first, *others = self.positions.tolist()
        return sum(texts[copy] == texts[own] for position in others for own, copy in zip(first, position, strict=True))


@dataclass(frozen=True, kw_only=True)
class WordCopies:
    """Copies of each row in other words, by `WordSubstitution`.

    Args:
        folder: of a masked language model, as ``save_pretrained`` writes it, with word pieces as BERT has; or a name.
        copies: of each row.
        candidates: for each word.
        probability: that a word is replaced.
        seed: decides which words are.

    Raises:
        ArgumentError: if there is not at least one copy.

    Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, 2020, "TinyBERT: Distilling BERT for Natural Language Understanding",
    arXiv:1909.10351 (algorithm 1; there 20 copies).
    """

    folder: str
    copies: int = 20
    candidates: int = 15
    probability: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ArgumentError(f"copies is {self.copies}; it must be at least 1", path="copies")

    def of(self, data: TextSet) -> TextViews:
        """These rows and their copies, taken from disk where they were made before.

        Raises:
            ArgumentError: if there is no such model, or it has no head for words or no word pieces.
        """
        model = masked_language_model(folder=self.folder)
        if model.untrained:
            raise ArgumentError(
                f"{self.folder} has no head for words; give a masked language model, saved with its head",
                code="unsupported",
                path=self.folder,
            )
        if torch.cuda.is_available():
            model.cuda()
        options: dict[str, Any] = {"candidates": self.candidates, "probability": self.probability, "seed": self.seed}
        substitution = WordSubstitution(model, model.tokenizer, **options)
        own = {"format": _FORMAT, "model": fingerprint_model(model), "tokenizer": content(model.tokenizer)}
        by = {**own, "copies": self.copies, **options}
        texts, made = data.texts, list[Sequence[_Row]]()
        for start in range(0, len(texts), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            made += _kept(substitution, texts[chunk], data.index[chunk].tolist(), self.copies, by)
        return _text_views(data, made)


def _kept(
    substitution: WordSubstitution, rows: Sequence[_Row], numbers: Sequence[int], copies: int, by: dict[str, object]
) -> Sequence[Sequence[_Row]]:
    """The copies of each of these rows."""
    key = canonical_hash({**by, "rows": Texts(tuple(rows)).digest, "numbers": list(numbers)})
    path = user_cache("copies") / f"{key}.json"
    if path.is_file():
        return [[tuple(row) for row in one] for one in json.loads(path.read_text(encoding="utf-8"))]
    found = [_copies(substitution, row, number, copies) for row, number in zip(rows, numbers, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    return found


def _copies(substitution: WordSubstitution, row: _Row, number: int, copies: int) -> list[_Row]:
    # A number for each text of a pair, so that both do not change in the same positions.
    changed = [
        substitution.copies(text, row=number * len(row) + position, count=copies) for position, text in enumerate(row)
    ]
    return list(zip(*changed, strict=True))


def _text_views(data: TextSet, made: Sequence[Sequence[_Row]]) -> TextViews:
    behind = sum(len(file.rows) for file in data.files)
    files = tuple(Texts(tuple(rows)) for rows in zip(*made, strict=True))
    positions = [
        data.position,
        *(behind + torch.arange(len(data)) + number * len(data) for number in range(len(files))),
    ]
    return TextViews(replace(data, files=data.files + files), torch.stack(positions))
