"""A teacher that scales the logits of another model: `{scaled: NAME, factor: 2.0}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from limbeck.registry import register


@register("teacher", "scaled")
class Scaled:
    """The logits of another model times a factor.

    Args:
        scaled: the model whose logits are scaled.
        factor: multiplies each logit.
    """

    section = "scaled"

    def __init__(self, *, scaled: str, factor: float = 2.0) -> None:
        self.source = scaled
        self.factor = factor

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The models that it refers to."""
        return (options["scaled"],)

    @property
    def reads(self) -> tuple[str, ...]:
        return (f"{self.source}.logits",)

    def __call__(self, board: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"logits": self.factor * board[self.source]["logits"]}
