"""A convolutional network that reads words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.models.text.embeddings import Embedded, check_text
from limbeck.registry import register

__all__ = ["TextCNN"]


@register("text_model", "textcnn")
class TextCNN(nn.Module):
    """Windows of several widths over words, the largest response of each filter, and a linear head.

    Every window that holds at least one word counts, with zeros for what is outside the text; so padding changes
    nothing, and a text may be shorter than a window. An empty row has the response 0.

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

    >>> net = TextCNN(classes=2, vocabulary=100, embedding=8, filters=6)
    >>> net(torch.tensor([[4, 7, 0], [0, 0, 0]]), torch.tensor([[1, 1, 0], [0, 0, 0]])).shape
    torch.Size([2, 2])

    Kim, 2014, "Convolutional Neural Networks for Sentence Classification", arXiv:1408.5882.
    """

    def __init__(
        self,
        *,
        classes: int,
        vocabulary: int,
        embedding: int = 128,
        windows: Sequence[int] = (3, 4, 5),
        filters: int = 100,
        dropout: float = 0.5,
    ) -> None:
        check_text("textcnn", classes, vocabulary, dropout, embedding=embedding, filters=filters)
        if not windows or min(windows) < 1:
            raise ArgumentError(f"textcnn: windows is {list(windows)}; expected widths of at least 1", path="windows")
        super().__init__()
        self.windows = tuple(windows)
        self.words = Embedded(vocabulary, embedding)
        self.filters = nn.ModuleList(nn.Conv1d(embedding, filters, width, padding=width - 1) for width in windows)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters * len(windows), classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        vectors, real = self.words(input_ids, attention_mask)
        columns, length = vectors.transpose(1, 2), real.sum(1, keepdim=True)
        pairs = zip(self.filters, self.windows, strict=True)
        responses = [_largest(filters(columns), length, width) for filters, width in pairs]
        logits: Tensor = self.head(self.dropout(torch.cat(responses, 1)))
        return logits


def _largest(response: Tensor, length: Tensor, width: int) -> Tensor:
    """The largest response of each filter, after the rectifier, over the windows that hold a word."""
    end = torch.arange(response.shape[2], device=response.device)
    holds_a_word = (end < length + width - 1) & (length > 0)
    return (response.relu() * holds_a_word.unsqueeze(1)).amax(2)
