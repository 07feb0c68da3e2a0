"""How many classes a row has: what follows for judging, for models of Hugging Face and for predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.measure import MultiLabel, Scoring, SingleLabel
from limbeck.tasks.single_label import most_likely
from limbeck.tasks.task import Prediction

__all__ = ["KINDS", "Kind", "above_half", "kind_of", "mark"]


@dataclass(frozen=True)
class Kind:
    """What depends on how many classes a row has.

    Args:
        problem_type: its name in a config of Hugging Face, and in an exported file.
        scoring: how models are judged.
        predict: what logits say, given the names of the classes.
        told: of a row, in words.
    """

    problem_type: str
    scoring: Scoring
    predict: Callable[[NDArray[Any], Sequence[str]], list[Prediction]]
    told: str


def above_half(logits: NDArray[Any], classes: Sequence[str]) -> list[Prediction]:
    """The ``classes`` of each row whose probability is above one half, and the ``probabilities`` of all.

    >>> above_half(np.array([[2.0, -1.0], [-1.0, -1.0]]), ["war", "trade"])[0].line
    'war 0.8808'
    """
    found = []
    for row in MultiLabel().probabilities(logits.astype(np.float64)):
        probabilities = dict(zip(classes, row.tolist(), strict=True))
        called = sorted((name for name, p in probabilities.items() if p > 0.5), key=lambda name: -probabilities[name])
        line = ", ".join(f"{name} {probabilities[name]:.4f}" for name in called) or "(none)"
        found.append(Prediction({"classes": called, "probabilities": probabilities}, line))
    return found


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.problem_type: kind
        for kind in (
            Kind("single_label_classification", SingleLabel(), most_likely, "one class"),
            Kind("multi_label_classification", MultiLabel(), above_half, "any number of classes"),
        )
    }
)


def kind_of(target: Tensor) -> Kind:
    """Of targets `[N]`, or `[N, K]` with a 0 or 1 for each class."""
    return KINDS["single_label_classification" if target.ndim == 1 else "multi_label_classification"]


def mark(model: nn.Module, kind: Kind) -> nn.Module:
    """The model; one of Hugging Face with the kind in its config, and called untrained if it was tuned for another."""
    config: Any = getattr(model, "config", None)
    if config is not None:
        tuned = getattr(config, "problem_type", None)
        if tuned not in (None, kind.problem_type) and not getattr(model, "untrained", ""):
            told: Any = f"its config says {tuned}, and rows here have {kind.told}"
            model.untrained = told
        config.problem_type = kind.problem_type
    return model
