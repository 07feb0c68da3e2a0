"""A convolutional network that tags words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from limbeck.errors import ArgumentError
from limbeck.models.text.embeddings import Embedded, at_positions, check_text
from limbeck.registry import register

__all__ = ["TextCNNTagger"]


@register("tagging_model", "textcnn")
class TextCNNTagger(nn.Module):
    """Windows of several widths around each word, the response of each filter after a rectifier, and a linear head.

    A window holds the word, and as many on both sides as its width has room for, one more on the right where it is
    even; outside of the text there are zeros, so padding changes nothing.

    Taps: ``words``, ``filters.0``, …, ``head``.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding, which stands on the right.
        embedding: numbers for a word.
        windows: widths in words.
        filters: of each width.
        dropout: share of the responses set to 0 in training, in [0, 1).

    Raises:
        ArgumentError: if a number is below 1, there is no window, or dropout is outside [0, 1).

    >>> net = TextCNNTagger(classes=3, vocabulary=100, embedding=8, filters=6)
    >>> net(torch.tensor([[4, 7, 9, 0]]), words=torch.tensor([[0, 2]])).shape
    torch.Size([1, 2, 3])

    Collobert, Weston, Bottou, Karlen, Kavukcuoglu, Kuksa, 2011, "Natural Language Processing (Almost) from Scratch",
    arXiv:1103.0398 (the window approach).
    """

    def __init__(
        self,
        *,
        classes: int,
        vocabulary: int,
        embedding: int = 128,
        windows: Sequence[int] = (3, 5, 7),
        filters: int = 100,
        dropout: float = 0.5,
    ) -> None:
        check_text("textcnn", classes, vocabulary, dropout, embedding=embedding, filters=filters)
        if not windows or min(windows) < 1:
            raise ArgumentError(f"textcnn: windows is {list(windows)}; expected widths of at least 1", path="windows")
        super().__init__()
        self.windows = tuple(windows)
        self.words = Embedded(vocabulary, embedding)
        self.filters = nn.ModuleList(nn.Conv1d(embedding, filters, width) for width in windows)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters * len(windows), classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, words: Tensor) -> Tensor:
        vectors, _ = self.words(input_ids, attention_mask)
        columns = vectors.transpose(1, 2)
        pairs = zip(self.filters, self.windows, strict=True)
        responses = [filters(pad(columns, ((width - 1) // 2, width // 2))).relu() for filters, width in pairs]
        logits: Tensor = self.head(self.dropout(at_positions(torch.cat(responses, 1).transpose(1, 2), words)))
        return logits
