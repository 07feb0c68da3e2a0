"""The layers of the networks that read words from both sides."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.models.text.embeddings import Embedded, at_positions, check_text, turned

__all__ = ["BidirectionalLSTM"]


class BidirectionalLSTM(nn.Module):
    """Embeddings, an LSTM in each direction, a hidden layer with a rectifier, and a linear head.

    Each direction is a network of its own. The backward one gets each row's words turned round within the row's length,
    so that padding comes last for both and the results are those of packed sequences, in operations that ONNX has.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding, which stands on the right.
        embedding: numbers for a word.
        width: units of each direction.
        hidden: units of the hidden layer.
        dropout: share of the states set to 0 in training, in [0, 1).

    Raises:
        ArgumentError: if a number is below 1, or dropout is outside [0, 1).
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

    def directions(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """States [B, L, width] after each word ahead, and after each turned word back, and a mask [B, L] of words."""
        vectors, real = self.words(input_ids, attention_mask)
        return self.ahead(vectors)[0], self.back(at_positions(vectors, turned(real)))[0], real

    def logits(self, states: Tensor) -> Tensor:
        """Logits [*, classes] of states [*, 2 width]."""
        logits: Tensor = self.head(self.hidden(self.dropout(states)))
        return logits
