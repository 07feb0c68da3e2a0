"""Decision trees as a module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.models.checks import check_positive

__all__ = ["Trees"]

_least = 1e-6  # of a probability, before its logarithm


class Trees(nn.Module):
    """Decision trees on features [B, F]: the mean over the trees of what stands in their leaves, [B, classes].

    Weights are saved, loaded and exported as those of any module; nothing has a gradient. A node that no way leads to
    changes nothing.

    Args:
        trees: their number.
        nodes: the largest number of nodes of one.
        depth: the longest way to a leaf.
        classes: numbers in a leaf.
        probabilities: leaves hold probabilities, and their mean's logarithm is returned, from 10⁻⁶ on.

    >>> Trees(trees=2, nodes=3, depth=1, classes=4)(torch.zeros(5, 6)).shape
    torch.Size([5, 4])
    """

    feature: Tensor
    below: Tensor
    above: Tensor

    def __init__(self, *, trees: int, nodes: int, depth: int, classes: int, probabilities: bool = False) -> None:
        check_positive("Trees", trees=trees, nodes=nodes, classes=classes)
        super().__init__()
        self.trees, self.depth, self.nodes, self.probabilities = trees, depth, nodes, probabilities
        self.register_buffer("feature", torch.zeros(trees * nodes, dtype=torch.int64))
        self.register_buffer("below", torch.zeros(trees * nodes, dtype=torch.int64))
        self.register_buffer("above", torch.zeros(trees * nodes, dtype=torch.int64))
        self.threshold = nn.Parameter(torch.zeros(trees * nodes), requires_grad=False)
        self.leaf = nn.Parameter(torch.zeros(trees * nodes, classes), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        roots = torch.arange(0, len(self.leaf), self.nodes, device=features.device)
        place = roots.unsqueeze(0).expand(features.shape[0], -1)
        for _ in range(self.depth):
            value = features.gather(1, self.feature[place])
            place = torch.where(value <= self.threshold[place], self.below[place], self.above[place])
        found = self.leaf[place].mean(1)
        return found.clamp(min=_least).log() if self.probabilities else found

    @torch.no_grad()
    def take(self, others: Trees) -> None:
        """Become the same as some trees that are as many, and no larger or deeper.

        Raises:
            ArgumentError: if they are.
        """
        if others.trees != self.trees or others.nodes > self.nodes or others.depth > self.depth:
            sizes = [f"{one.trees} trees of {one.nodes} nodes, {one.depth} deep" for one in (others, self)]
            raise ArgumentError(
                f"Trees: {sizes[0]} do not fit into {sizes[1]}; give more nodes or depth",
                code="mismatch",
                path="others",
            )
        for name in ("feature", "threshold", "leaf", "below", "above"):
            value = getattr(others, name).unflatten(0, (others.trees, others.nodes))
            if name in ("below", "above"):
                root = torch.arange(others.trees).unsqueeze(1)
                value = value + root * (self.nodes - others.nodes)
            getattr(self, name).unflatten(0, (self.trees, self.nodes))[:, : others.nodes] = value

    @torch.no_grad()
    def spread(self, columns: Sequence[int]) -> Trees:
        """Trees of one number each as trees of several: the trees of a column give that number, by their mean.

        Args:
            columns: of each tree, the number that it predicts. A number without a tree is 0.

        >>> Trees(trees=2, nodes=3, depth=1, classes=1).spread([0, 1])(torch.zeros(5, 6)).shape
        torch.Size([5, 2])
        """
        found = Trees(trees=self.trees, nodes=self.nodes, depth=self.depth, classes=max(columns) + 1)
        found.load_state_dict({**self.state_dict(), "leaf": found.leaf})
        at = torch.tensor(columns)
        # The mean runs over the trees of all columns.
        share = self.trees / torch.bincount(at)[at]
        leaves = self.leaf.reshape(self.trees, self.nodes) * share.unsqueeze(1)
        found.leaf.view(self.trees, self.nodes, -1)[torch.arange(self.trees), :, at] = leaves
        return found

    @classmethod
    def of_columns(cls, parts: Sequence[Self]) -> Trees:
        """Trees that predict one number each, as trees that predict them all: those of the first number come first.

        Args:
            parts: of equally many trees.
        """
        nodes, depth, count = max(part.nodes for part in parts), max(part.depth for part in parts), parts[0].trees
        columns = [column for column in range(len(parts)) for _ in range(count)]
        whole = cls(trees=len(columns), nodes=nodes, depth=depth, classes=1)
        for at, part in enumerate(parts):
            alone = cls(trees=count, nodes=nodes, depth=depth, classes=1)
            alone.take(part)
            for name, value in alone.state_dict().items():
                start = at * count * nodes
                moved = value + start if name in ("below", "above") else value
                getattr(whole, name).data[start : start + count * nodes] = moved
        return whole.spread(columns)
