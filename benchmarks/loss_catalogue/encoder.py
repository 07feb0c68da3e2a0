"""A transformer encoder for small images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Encoder"]


class _Layer(nn.Module):
    """Self-attention and two linear maps, each with layer normalization in front and a shortcut around."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        normalized = self.before_attention(tokens)
        query, key, value = (
            projection(normalized).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.output(mixed)
        return tokens + self.feedforward(tokens)


class Encoder(nn.Module):
    """Square patches as tokens, layers of self-attention, and a linear head on the mean token.

    ``forward`` returns the logits, and as ``hidden_states`` the embedded patches and what each layer made of them.

    Args:
        layers: their number.
        width: of a token.
        heads: of the attention.
        patch: height and width of a patch in pixels.
        size: height and width of an image in pixels.
        classes: number of logits.
    """

    def __init__(
        self, *, layers: int, width: int, heads: int = 4, patch: int = 7, size: int = 28, classes: int = 10
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn((size // patch) ** 2, width))
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, images: Tensor) -> dict[str, Any]:
        hidden = [self.patches(images).flatten(2).mT + self.position]
        for layer in self.layers:
            hidden.append(layer(hidden[-1]))
        return {"logits": self.head(hidden[-1].mean(1)), "hidden_states": tuple(hidden)}
