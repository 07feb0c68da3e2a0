"""A bidirectional recurrent network that reads words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.registry import register
from limbeck.students._rows_of_words import Embedded, at_places, check_text, turned

__all__ = ["BiLSTM"]


@register("text_model", "bilstm")
class BiLSTM(nn.Module):
    """Words, read from both sides by an LSTM; its last states, a hidden layer with a rectifier, and logits.

    Each direction is a network of its own. The backward one gets each row's words turned round within the row's length,
    so that padding comes last for both and the results are those of packed sequences, in operations that ONNX has. An
    empty row gives the state 0.

    Taps: ``words``, ``ahead``, ``back``, ``hidden``, ``head``.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding, which stands on the right.
        embedding: numbers for a word.
        width: units of each direction.
        hidden: units of the hidden layer.
        dropout: share of the last states set to 0 in training, in [0, 1).

    Raises:
        ArgumentError: if a number is below 1, or dropout is outside [0, 1).

    >>> net = BiLSTM(classes=2, vocabulary=100, embedding=8, width=6, hidden=5)
    >>> net(torch.tensor([[4, 7, 0], [0, 0, 0]]), torch.tensor([[1, 1, 0], [0, 0, 0]])).shape
    torch.Size([2, 2])

    Tang, Lu, Liu, Mou, Vechtomova, Lin, 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural
    Networks", arXiv:1903.12136.
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

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        vectors, real = self.words(input_ids, attention_mask)
        length = real.sum(1, keepdim=True)
        last = (length - 1).clamp(min=0)
        ahead, back = self.ahead(vectors)[0], self.back(at_places(vectors, turned(real)))[0]
        states = torch.cat([at_places(ahead, last), at_places(back, last)], -1).squeeze(1)
        logits: Tensor = self.head(self.hidden(self.dropout(states * (length > 0))))
        return logits
