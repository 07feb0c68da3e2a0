"""A bidirectional recurrent network that tags words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.registry import register
from limbeck.students._rows_of_words import Embedded, at_places, check_text, turned

__all__ = ["BiLSTMTagger"]


@register("tagging_model", "bilstm")
class BiLSTMTagger(nn.Module):
    """Words, read from both sides by an LSTM; the states at each word, a hidden layer with a rectifier, and logits.

    Each direction is a network of its own. The backward one gets each row's words turned round within the row's length,
    so that padding comes last for both and the results are those of packed sequences, in operations that ONNX has.

    Taps: ``words``, ``ahead``, ``back``, ``hidden``, ``head``.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding, which stands on the right.
        embedding: numbers for a word.
        width: units of each direction.
        hidden: units of the hidden layer.
        dropout: share of the states set to 0 in training, in [0, 1).

    Raises:
        ArgumentError: if a number is below 1, or dropout is outside [0, 1).

    >>> net = BiLSTMTagger(classes=3, vocabulary=100, embedding=8, width=6, hidden=5)
    >>> net(torch.tensor([[4, 7, 9, 0]]), words=torch.tensor([[0, 2]])).shape
    torch.Size([1, 2, 3])

    Huang, Xu, Yu, 2015, "Bidirectional LSTM-CRF Models for Sequence Tagging", arXiv:1508.01991 (BI-LSTM).
    """

    def __init__(
        self,
        *,
        classes: int,
        vocabulary: int,
        embedding: int = 128,
        width: int = 150,
        hidden: int = 200,
        dropout: float = 0.0,
    ) -> None:
        check_text("bilstm", classes, vocabulary, dropout, embedding=embedding, width=width, hidden=hidden)
        super().__init__()
        self.words = Embedded(vocabulary, embedding)
        self.ahead = nn.LSTM(embedding, width, batch_first=True)
        self.back = nn.LSTM(embedding, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Sequential(nn.Linear(2 * width, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, words: Tensor) -> Tensor:
        vectors, real = self.words(input_ids, attention_mask)
        places = turned(real)
        ahead, back = self.ahead(vectors)[0], self.back(at_places(vectors, places))[0]
        states = torch.cat([at_places(ahead, words), at_places(at_places(back, places), words)], -1)
        logits: Tensor = self.head(self.hidden(self.dropout(states)))
        return logits
