"""What the students that read words have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.models.checks import check_positive

__all__ = ["Embedded", "at_positions", "check_text", "turned"]


def check_text(model: str, classes: int, vocabulary: int, dropout: float = 0.0, **sizes: int) -> None:
    """Refuse sizes that no classifier of texts can be built for; one class alone is a label that holds or does not.

    Raises:
        ArgumentError: if a number is below 1, or dropout is outside [0, 1).
    """
    check_positive(model, classes=classes, vocabulary=vocabulary, **sizes)
    if not 0.0 <= dropout < 1.0:
        raise ArgumentError(f"{model}: dropout is {dropout}; expected a share in [0, 1)", path="dropout")


class Embedded(nn.Module):
    """Words as vectors: 0 where there is padding, whatever stands in ``input_ids`` there.

    Args:
        vocabulary: number of entries; 0 is padding.
        width: of a vector.

    >>> vectors, real = Embedded(5, 3)(torch.tensor([[2, 4, 0]]), None)
    >>> vectors.shape, vectors[0, 2], real.tolist()
    (torch.Size([1, 3, 3]), tensor([0., 0., 0.], grad_fn=<SelectBackward0>), [[True, True, False]])
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width, padding_idx=0)
        nn.init.normal_(self.table.weight, std=width**-0.5)
        with torch.no_grad():
            self.table.weight[0] = 0

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Vectors [B, L, width], and a mask [B, L] of what is no padding; L is at least 1."""
        if input_ids.shape[1] == 0:
            input_ids = input_ids.new_zeros(input_ids.shape[0], 1)
            attention_mask = None
        real = input_ids != 0 if attention_mask is None else attention_mask != 0
        vectors = self.table(input_ids) * real.unsqueeze(-1)
        return vectors, real


def at_positions(rows: Tensor, places: Tensor) -> Tensor:
    """Of rows [B, L, D], what stands at the places [B, M]: [B, M, D]."""
    return rows.gather(1, places.unsqueeze(-1).expand(-1, -1, rows.shape[2]))


def turned(real: Tensor) -> Tensor:
    """The place of each word when the words of each row are turned round, and padding stays: [B, L] of a mask [B, L].

    >>> turned(torch.tensor([[True, True, True, False]])).tolist()
    [[2, 1, 0, 3]]
    """
    length, place = real.sum(1, keepdim=True), torch.arange(real.shape[1], device=real.device).unsqueeze(0)
    return torch.where(place < length, length - 1 - place, place)
