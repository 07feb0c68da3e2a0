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

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The tokens after the layer; its queries, keys and values, heads side by side."""
        normalized = self.before_attention(tokens)
        projected = self.query(normalized), self.key(normalized), self.value(normalized)
        query, key, value = (one.unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in projected)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.output(mixed)
        return tokens + self.feedforward(tokens), *projected


class Encoder(nn.Module):
    """A learned first token and square patches as tokens, layers of self-attention, and a linear head on the first.

    ``forward`` returns the logits; as ``hidden_states`` the embedded tokens and what each layer made of them; and as
    ``queries``, ``keys`` and ``values`` what each layer projected them to. The last four are tuples over the layers.

    Args:
        layers: their number.
        width: of a token.
        heads: of the attention.
        patch: height and width of a patch in pixels.
        size: height and width of an image in pixels.
        classes: number of logits.
    """

    def __init__(
        self, *, layers: int, width: int, heads: int, patch: int = 7, size: int = 28, classes: int = 10
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, stride=patch)
        self.first = nn.Parameter(torch.zeros(width))
        self.position = nn.Parameter(0.02 * torch.randn(1 + (size // patch) ** 2, width))
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, images: Tensor) -> dict[str, Any]:
        patches = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.first.expand(len(patches), 1, -1), patches], dim=1) + self.position
        found = []
        for layer in self.layers:
            found.append((tokens, *layer(tokens)))
            tokens = found[-1][1]
        before, _, queries, keys, values = zip(*found, strict=True)
        logits = self.head(tokens[:, 0])
        hidden = (*before, tokens)
        return {"logits": logits, "hidden_states": hidden, "queries": queries, "keys": keys, "values": values}
