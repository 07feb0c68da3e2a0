"""What one training step gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from limbeck.core.addresses import Board
from limbeck.core.balance import Weights
from limbeck.core.processes import world_size
from limbeck.core.term import Mean
from limbeck.errors import ArgumentError

__all__ = ["Counts", "StepOutput"]


class Counts(NamedTuple):
    """The denominators of all terms over the micro-batches and processes of one optimizer step."""

    per_term: Mapping[str, Tensor]
    micro_batches: int
    world: int


class StepOutput(NamedTuple):
    """The terms of one forward, their weights in force, and every source's outputs.

    A NamedTuple, because DistributedDataParallel finds tensors in tuples and mappings, not in other objects.
    """

    terms: Mapping[str, Mean]
    weights: Weights
    outputs: Board

    def loss(self, counts: Counts | None = None) -> Tensor:
        r"""The objective, 0-d.

        .. math:: L = \sum_k w_k \frac{W \, \text{sum}_k}{\text{count}_k} + \frac{\text{penalty}}{M}

        With ``counts`` (from `Distiller.counts` over all M micro-batches of the step), gradients summed over
        micro-batches and averaged over the W processes are those of the whole batch. Without, the counts are those of
        this forward: for one process and one micro-batch.

        Raises:
            ArgumentError: if counts are missing although several processes train together.
        """
        if counts is None:
            if world_size() > 1:
                raise ArgumentError(
                    "loss() divides by this process's counts, but several processes train together; give "
                    "loss(distiller.counts(micro_batches))",
                    code="missing",
                    path="counts",
                )
            counts = Counts({name: mean.count for name, mean in self.terms.items()}, 1, 1)
        # Small tensors cost time too: what has no gradient is computed first, so that backward has less to do.
        total = self.weights.penalty / (counts.micro_batches * counts.world)
        for name, mean in self.terms.items():
            total = total + mean.sum * (self.weights.per_term[name] / counts.per_term[name].clamp(min=1))
        return torch.as_tensor(total if counts.world == 1 else total * counts.world)
