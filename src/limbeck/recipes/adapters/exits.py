"""Early exits of a student, for self-distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from limbeck.models import WithExits
from limbeck.recipes.adapters.adapter import Adapter, AdapterContext, Spec
from limbeck.recipes.model_io import tap_path
from limbeck.recipes.options import construct, resolve_options

__all__ = ["Exits", "with_exits"]


def _options(*, exits: dict[str, str], features: str) -> None: ...


class Exits(Adapter):
    """``exits: {exit1: stage1, …}, features: stage3``; each exit is evaluated, and can be exported."""

    key = "exits"
    beside = ("features",)

    def resolve(self, given: Spec, path: str) -> dict[str, Any]:
        return resolve_options(_options, given, path=path, name="exits")

    def apply(self, model: nn.Module, spec: Spec, context: AdapterContext, path: str) -> nn.Module:
        return with_exits(model, spec, context.images(f"{path}.{self.key}"), path)

    def shipped(
        self, model: nn.Module, weights: Mapping[str, Tensor], spec: Spec, context: AdapterContext, path: str
    ) -> dict[str, nn.Module]:
        adapted = with_exits(model, spec, context.images(f"{path}.{self.key}"), path)
        adapted.load_state_dict(weights)
        return {"": adapted.model, **{name: adapted.cut(name) for name in adapted.exits}}

    def adds(self, spec: Spec) -> tuple[str, ...]:
        return (*spec["exits"], "features")

    def describe(self, part: str, spec: Spec, models: Mapping[str, Spec | None]) -> Spec | None:
        return {"exits": spec["exits"], "features": spec["features"], "exit": part} if part else {}


def with_exits(model: nn.Module, spec: Spec, example: Tensor, path: str) -> WithExits:
    """The model with the exits of its section.

    Raises:
        RecipeError: if one does not fit.
    """
    options = {
        "exits": {name: tap_path(model, given, f"{path}.exits.{name}") for name, given in spec["exits"].items()},
        "features": tap_path(model, spec["features"], f"{path}.features"),
        "example": example,
    }
    adapted: WithExits = construct(WithExits, {"model": model, **options}, path=f"{path}.exits")
    return adapted
