"""How many classes a row has: what follows for judging and for models of Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from limbeck.measure import ClassScoring, multi_label_scoring, single_label_scoring

__all__ = ["LABEL_TYPES", "LabelType", "label_type_of", "mark_label_type"]


@dataclass(frozen=True)
class LabelType:
    """What depends on how many classes a row has.

    Args:
        problem_type: its name in a config of Hugging Face, and in an exported file.
        scoring: of this number of classes.
        title: of a row, in words.
    """

    problem_type: str
    scoring: Callable[[int], ClassScoring]
    title: str


LABEL_TYPES: Mapping[str, LabelType] = MappingProxyType(
    {
        label_type.problem_type: label_type
        for label_type in (
            LabelType("single_label_classification", single_label_scoring, "one class"),
            LabelType("multi_label_classification", lambda _: multi_label_scoring(), "any number of classes"),
        )
    }
)


def label_type_of(target: Tensor) -> LabelType:
    """Of targets `[N]`, or `[N, K]` with a 0 or 1 for each class."""
    return LABEL_TYPES["single_label_classification" if target.ndim == 1 else "multi_label_classification"]


def mark_label_type(model: nn.Module, label_type: LabelType) -> nn.Module:
    """The model; one of Hugging Face with the kind in its config, and called untrained if it was tuned for another."""
    config: Any = getattr(model, "config", None)
    if config is not None:
        tuned = getattr(config, "problem_type", None)
        if tuned not in (None, label_type.problem_type) and not getattr(model, "untrained", ""):
            reason: Any = f"its config says {tuned}, and rows here have {label_type.title}"
            model.untrained = reason
        config.problem_type = label_type.problem_type
    return model
