"""A linear classifier of the words that occur, in any order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.models.text.embeddings import Embedded, check_text
from limbeck.registry import register

__all__ = ["BagOfWords"]


@register("model", "bag_of_words", inputs="texts")
class BagOfWords(nn.Module):
    r"""Logits that are linear in how often each word occurs.

    .. math:: z = b + \frac{1}{\sqrt{n}} \sum_{i=1}^{n} W_{x_i}

    for the n words x of a text; the root is the norm of its counts where no word occurs twice. An empty row has z = b.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding.

    Raises:
        ArgumentError: if a number is below 1.

    >>> net = BagOfWords(classes=2, vocabulary=100)
    >>> net(torch.tensor([[4, 7, 0], [0, 0, 0]])).shape, sum(p.numel() for p in net.parameters())
    (torch.Size([2, 2]), 202)
    """

    def __init__(self, *, classes: int, vocabulary: int) -> None:
        check_text("bag_of_words", classes, vocabulary)
        super().__init__()
        self.words = Embedded(vocabulary, classes)
        nn.init.zeros_(self.words.table.weight)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        vectors, real = self.words(input_ids, attention_mask)
        logits: Tensor = self.bias + vectors.sum(1) / real.sum(1, keepdim=True).clamp(min=1).to(vectors.dtype).sqrt()
        return logits
