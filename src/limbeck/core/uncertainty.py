"""Weights that are learned as the uncertainty of each term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from limbeck.core.addresses import Board
from limbeck.core.balance import Weights
from limbeck.core.term import Mean
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["Uncertainty"]


@register("balance", "uncertainty")
class Uncertainty(nn.Module):
    r"""Learns a variance for each term: one that is noisy counts less, at the price of a penalty.

    .. math:: L = \sum_k w_k \left( e^{-s_k} L_k + \tfrac{1}{2} s_k \right), \qquad s_k = \log \sigma_k^2

    This is the paper's form for classification, with :math:`1 / \sigma^2`, for every term. Its form for regression has
    half of that; both come to the factor :math:`1 / (2 L_k)` where s is at its optimum, only s is shifted by log 2. All
    s start at 0, so that training starts with the terms' own weights :math:`w_k`. These multiply a term together with
    its penalty: a term of weight 0 moves nothing, and a weight does not change where its s goes.

    The s are parameters, trained with the student: weight decay draws them to 0, and a term that counts no row in a
    step lets its s fall by the penalty alone.

    Kendall, Gal and Cipolla, 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", arXiv:1705.07115.

    >>> balance = Uncertainty()
    >>> balance.bind(["student"], ["hard", "soft"])
    >>> balance.log_variance
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    log_variance: nn.Parameter

    def bind(self, students: Sequence[str], terms: Sequence[str]) -> None:
        """Make a variance for each term. A `Distiller` calls it when it is built."""
        self.log_variance = nn.Parameter(torch.zeros(len(terms)))

    def forward(self, means: Mapping[str, Mean], board: Board) -> Weights:
        s = at_least_float32(self.log_variance)
        factors, penalties = torch.exp(-s).unbind(), (s / 2).unbind()
        return Weights(dict(zip(means, factors, strict=True)), penalties=dict(zip(means, penalties, strict=True)))
