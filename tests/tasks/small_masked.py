"""A tiny masked language model with word pieces, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tasks.small_texts import VOCABULARY, tokenizer

PIECES = [*VOCABULARY, "##s"]


def masked_bert(folder: Path, *, seed: int = 0, **sizes: Any) -> Path:
    """A BERT of two layers with a head for words."""
    made = tokenizer(folder, PIECES)
    given = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=len(made), max_position_embeddings=64, **{**given, **sizes})
    torch.manual_seed(seed)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder
