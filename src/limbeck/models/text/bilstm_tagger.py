"""A bidirectional recurrent network that tags words."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.models.text.embeddings import at_positions, turned
from limbeck.models.text.lstm_layers import BidirectionalLSTM
from limbeck.registry import register

__all__ = ["BiLSTMTagger"]


@register("tagging_model", "bilstm")
class BiLSTMTagger(BidirectionalLSTM):
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

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, words: Tensor) -> Tensor:
        ahead, back, real = self.directions(input_ids, attention_mask)
        back = at_positions(back, turned(real))
        return self.logits(torch.cat([at_positions(ahead, words), at_positions(back, words)], -1))
