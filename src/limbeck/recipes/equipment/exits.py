"""Exits of a student that is its own teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from limbeck.recipes.equipment.equipment import Bench, Equipment, Spec
from limbeck.recipes.options import construct, resolve_options
from limbeck.recipes.reading import tap_path
from limbeck.students import WithExits

__all__ = ["Exits", "with_exits"]


def _options(*, exits: dict[str, str], features: str) -> None: ...


class Exits(Equipment):
    """``exits: {exit1: stage1, …}, features: stage3``; each exit is measured, and can be exported."""

    key = "exits"
    beside = ("features",)

    def resolve(self, given: Spec, path: str) -> dict[str, Any]:
        return resolve_options(_options, given, path=path, name="exits")

    def put_on(self, model: nn.Module, spec: Spec, bench: Bench, path: str) -> nn.Module:
        return with_exits(model, spec, bench.images(f"{path}.{self.key}"), path)

    def shipped(
        self, model: nn.Module, weights: Mapping[str, Tensor], spec: Spec, bench: Bench, path: str
    ) -> dict[str, nn.Module]:
        worn = with_exits(model, spec, bench.images(f"{path}.{self.key}"), path)
        worn.load_state_dict(weights)
        return {"": worn.model, **{name: worn.cut(name) for name in worn.exits}}

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
    worn: WithExits = construct(WithExits, {"model": model, **options}, path=f"{path}.exits")
    return worn
