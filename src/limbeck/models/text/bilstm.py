"""A bidirectional recurrent network that reads words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.models.text.embeddings import Embedded, at_positions, check_text, turned
from limbeck.registry import register

__all__ = ["BiLSTM"]


@register("model", "bilstm", inputs="texts", per=("row", "word"))
class BiLSTM(nn.Module):
    """Words, read from both sides by an LSTM; its states, a hidden layer with a rectifier, and logits.

    Each direction is a network of its own. The backward one gets each row's words turned round within the row's length,
    so that padding comes last for both and the results are those of packed sequences, in operations that ONNX has.

    Called with ``words``, the positions of words, it gives logits for each of them, from the states there. Without, it
    gives logits for the text, from the last states; an empty row gives the state 0.

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

    >>> net = BiLSTM(classes=2, vocabulary=100, embedding=8, width=6, hidden=5)
    >>> net(torch.tensor([[4, 7, 0], [0, 0, 0]]), torch.tensor([[1, 1, 0], [0, 0, 0]])).shape
    torch.Size([2, 2])
    >>> net(torch.tensor([[4, 7, 9, 0]]), words=torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 2])

    Tang, Lu, Liu, Mou, Vechtomova, Lin, 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural
    Networks", arXiv:1903.12136.

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

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, words: Tensor | None = None) -> Tensor:
        vectors, real = self.words(input_ids, attention_mask)
        # The state after each word ahead, and after each turned word back.
        ahead, back = self.ahead(vectors)[0], self.back(at_positions(vectors, turned(real)))[0]
        if words is not None:
            states = torch.cat([at_positions(ahead, words), at_positions(at_positions(back, turned(real)), words)], -1)
        else:
            length = real.sum(1, keepdim=True)
            last = (length - 1).clamp(min=0)
            states = torch.cat([at_positions(ahead, last), at_positions(back, last)], -1).squeeze(1) * (length > 0)
        logits: Tensor = self.head(self.hidden(self.dropout(states)))
        return logits
