"""Matches layers of two models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core import Tapped
from limbeck.functional import layer_map, linear_cka
from limbeck.layers.trace import Inputs, Layer
from limbeck.models.network import path_in_model

__all__ = ["Pair", "Similarity", "features", "pairs", "similarity", "words_of"]

Similarity: TypeAlias = Callable[[Layer, Layer], float]

# Positions of a map in each direction, and of a sequence, that similarity is computed from.
_map_positions = 8
_sequence_positions = 64
# Trained layers side by side differ by a few hundredths of CKA, which says little: one end of a model to the other
# weighs as much as this.
_depth = 0.25


@dataclass(frozen=True)
class Pair:
    """A layer of each of two models.

    Args:
        first: of the one model.
        second: of the other.
        similarity: linear CKA on one batch.
    """

    first: Layer
    second: Layer
    similarity: float

    @property
    def reason(self) -> str:
        """Why these two, in words."""
        sizes = " and ".join(dict.fromkeys(_told(layer.size) for layer in (self.first, self.second)))
        kind = "same size" if self.first.size == self.second.size else "sizes"
        depths = f"depth {self.first.depth:.2f} and {self.second.depth:.2f}"
        channels = f"channels {_channels(self.first)} and {_channels(self.second)}"
        return f"{kind} {sizes}, {channels}, {depths}, CKA {self.similarity:.2f}"


def _told(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size)) or "vector"


def _channels(layer: Layer) -> int:
    return layer.shape[-1] if len(layer.shape) == 2 else layer.shape[0]


def features(model: nn.Module, layers: Sequence[Layer], inputs: Inputs) -> dict[str, Tensor]:
    """The outputs of layers for a batch in eval mode, by path."""
    paths = {f"layer{number}": path_in_model(model, layer.path) for number, layer in enumerate(layers)}
    with torch.no_grad():
        outputs = Tapped(model.eval(), paths)(inputs)
    return {layer.path: outputs[f"layer{number}"] for number, layer in enumerate(layers)}


def words_of(inputs: Inputs) -> Tensor | None:
    """The positions of a batch of texts that are no padding, bool `[B, L]`; None without a mask."""
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    return None if mask is None else mask.bool()


def similarity(first: Tensor, second: Tensor, words: Tensor | None = None) -> float:
    """Linear CKA of two layers over the rows of a batch and, where both have them, over the same positions.

    Maps of unequal sizes are averaged down to the smaller; any other two of unequal sizes, over all positions. Those of
    texts are the ``words``, bool `[B, L]`.
    """
    # Two figures: sums that differ in their last bits between machines should not choose between layers.
    return round(float(linear_cka(*_rows(first.float(), second.float(), words))), 2)


def _rows(first: Tensor, second: Tensor, words: Tensor | None) -> tuple[Tensor, Tensor]:
    if first.ndim == second.ndim == 4:
        height, width = (min(first.shape[axis], second.shape[axis], _map_positions) for axis in (2, 3))
        pooled = (F.adaptive_avg_pool2d(maps, (height, width)) for maps in (first, second))
        one, other = (maps.permute(0, 2, 3, 1).flatten(0, 2) for maps in pooled)
        return one, other
    if words is not None:
        if all(_is_of_words(values, words) for values in (first, second)):
            return first[words], second[words]
        first, second = (_mean_of_words(values, words) for values in (first, second))
    if first.ndim == second.ndim == 3 and first.shape[1] == second.shape[1]:
        step = -(-first.shape[1] // _sequence_positions)
        return first[:, ::step].flatten(0, 1), second[:, ::step].flatten(0, 1)
    return _vectors(first), _vectors(second)


def _is_of_words(values: Tensor, words: Tensor) -> bool:
    return values.ndim == 3 and values.shape[:2] == words.shape


def _mean_of_words(values: Tensor, words: Tensor) -> Tensor:
    """One vector for each text, `[B, D]`, of one for each position; anything else as it is."""
    if not _is_of_words(values, words):
        return values
    return values.where(words.unsqueeze(2), 0.0).sum(1) / words.sum(1, keepdim=True).clamp(min=1)


def _vectors(values: Tensor) -> Tensor:
    return values.flatten(2).mean(2) if values.ndim > 3 else values.mean(1) if values.ndim == 3 else values


def pairs(first: Sequence[Layer], second: Sequence[Layer], alike: Similarity, *, trusted: bool) -> list[Pair]:
    """Layers of two models that belong together, early to late on both sides.

    Where the models have layers of one size, only such are paired. Of all ways to pair as many layers as the smaller
    model has, the one where the depths differ least in sum; where similarity is trusted, the one where the sum of
    similarity − |difference of depths| / 4 is largest.

    Args:
        first: of one model, early to late.
        second: of the other.
        alike: the similarity of a layer of the first and one of the second.
        trusted: whether similarity decides.
    """
    common = {layer.size for layer in first} & {layer.size for layer in second}
    if common:
        first, second = ([layer for layer in side if layer.size in common] for side in (first, second))

    def worth(one: Layer, other: Layer) -> float:
        near = 1 - abs(one.depth - other.depth)
        return (one.size == other.size) + (alike(one, other) + _depth * near if trusted else near)

    matched = _matched([[worth(one, other) for other in second] for one in first])
    return [
        Pair(first[i], second[j], alike(first[i], second[j]))
        for i, j in matched
        if not common or first[i].size == second[j].size
    ]


def _matched(worth: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    if not worth or not worth[0]:
        return []
    if len(worth) <= len(worth[0]):
        return layer_map("auto", len(worth), len(worth[0]), similarities=worth)
    turned = [list(column) for column in zip(*worth, strict=True)]
    return [(i, j) for j, i in layer_map("auto", len(turned), len(turned[0]), similarities=turned)]
