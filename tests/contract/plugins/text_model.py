"""A model of texts that gives one label per text or per word."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.registry import register


@register("model", "word_vectors", inputs="texts", per=("row", "word"))
class WordVectors(nn.Module):
    """A vector for each word, and a linear layer on it, or on the mean of all.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding.
        per_word: whether it gives logits for each word.
        width: of a vector.
    """

    def __init__(self, *, classes: int, vocabulary: int, per_word: bool, width: int = 8) -> None:
        super().__init__()
        self.per_word = per_word
        self.vectors = nn.Embedding(vocabulary, width)
        self.head = nn.Linear(width, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, words: Tensor | None = None) -> Tensor:
        assert (words is not None) == self.per_word
        if words is not None:
            input_ids, attention_mask = input_ids.gather(1, words), torch.ones_like(words)
        logits: Tensor = self.head(self.vectors(input_ids)) * attention_mask[..., None]
        return logits if self.per_word else logits.sum(1) / attention_mask.sum(1, keepdim=True).clamp(min=1)
