"""A bidirectional recurrent network that reads words."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.models.text.embeddings import at_positions
from limbeck.models.text.lstm_layers import BidirectionalLSTM
from limbeck.registry import register

__all__ = ["BiLSTM"]


@register("text_model", "bilstm")
class BiLSTM(BidirectionalLSTM):
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

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        ahead, back, real = self.directions(input_ids, attention_mask)
        length = real.sum(1, keepdim=True)
        last = (length - 1).clamp(min=0)
        states = torch.cat([at_positions(ahead, last), at_positions(back, last)], -1).squeeze(1)
        return self.logits(states * (length > 0))
