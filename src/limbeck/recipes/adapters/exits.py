"""Early exits of a student, for self-distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from limbeck.models import WithExits
from limbeck.recipes.adapters.adapter import Adapter, AdapterContext
from limbeck.recipes.model_io import tap_path
from limbeck.recipes.options import construct, resolve_options

if TYPE_CHECKING:
    from limbeck.recipes.model_sources.model_spec import ModelSpec

__all__ = ["Exits", "with_exits"]


def _options(*, exits: dict[str, str], features: str) -> None: ...


class Exits(Adapter):
    """``exits: {exit1: stage1, …}, features: stage3``; each exit is evaluated, and can be exported."""

    key = "exits"
    beside = ("features",)

    def resolve(self, given: Mapping[str, Any], path: str) -> dict[str, Any]:
        return resolve_options(_options, given, path=path, name="exits")

    def apply(self, model: nn.Module, spec: ModelSpec, context: AdapterContext) -> nn.Module:
        return self._with_exits(model, spec, context)

    def _with_exits(self, model: nn.Module, spec: ModelSpec, context: AdapterContext) -> WithExits:
        return with_exits(model, spec.adapter_options, context.images(f"{spec.path}.{self.key}"), spec.path)

    def shipped(
        self, model: nn.Module, weights: Mapping[str, Tensor], spec: ModelSpec, context: AdapterContext
    ) -> dict[str, nn.Module]:
        adapted = self._with_exits(model, spec, context)
        adapted.load_state_dict(weights)
        return {"": adapted.model, **{name: adapted.cut(name) for name in adapted.exits}}

    def adds(self, spec: ModelSpec) -> tuple[str, ...]:
        return (*spec.adapter_options["exits"], "features")

    def describe(
        self, part: str, spec: ModelSpec, models: Mapping[str, Mapping[str, Any] | None]
    ) -> Mapping[str, Any] | None:
        return {**spec.adapter_options, "exit": part} if part else {}


def with_exits(model: nn.Module, section: Mapping[str, Any], example: Tensor, path: str) -> WithExits:
    """The model with the exits of its section.

    Raises:
        RecipeError: if one does not fit.
    """
    options = {
        "exits": {name: tap_path(model, given, f"{path}.exits.{name}") for name, given in section["exits"].items()},
        "features": tap_path(model, section["features"], f"{path}.features"),
        "example": example,
    }
    adapted: WithExits = construct(
        WithExits,
        {"model": model, **options},
        path=f"{path}.exits",
        places={name: f"{path}.{name}" for name in ("exits", "features")},
    )
    return adapted
