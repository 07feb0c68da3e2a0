"""How the terms of an objective are weighed against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from limbeck.core.addresses import Board
from limbeck.core.term import Mean

__all__ = ["Balance", "Fixed", "Weights"]


class Weights(NamedTuple):
    """What a balance answers: a factor for each term, and a penalty that is added to the loss once.

    ``penalties`` are those of single terms: the term's own weight multiplies them, as it does the factor.
    """

    per_term: Mapping[str, Tensor | float]
    penalty: Tensor | float = 0.0
    penalties: Mapping[str, Tensor] | None = None


class Balance(Protocol):
    """A module that weighs terms. Its factors come on top of each term's own weight.

    State that changes moves in ``after_step(step)``, which the Distiller calls once for each optimizer step, and is
    equal on all processes and micro-batches. Three more methods are optional: ``bind(students, terms)`` learns their
    names when the Distiller is built; ``prepare(boards, means)`` is called by `Distiller.prepare`, in eval mode; and
    ``readings()`` gives groups of numbers by the names of terms, for a log.
    """

    def __call__(self, means: Mapping[str, Mean], board: Board) -> Weights: ...


class Fixed(nn.Module):
    """Every term counts with its own weight: all factors are 1.

    >>> Fixed()({"soft": Mean(Tensor([1.0]), Tensor([1.0]))}, {}).per_term
    {'soft': 1.0}
    """

    def forward(self, means: Mapping[str, Mean], board: Board) -> Weights:
        return Weights(dict.fromkeys(means, 1.0))
