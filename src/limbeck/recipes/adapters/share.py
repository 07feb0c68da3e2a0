"""Modules of another model that a student uses while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from limbeck.errors import RecipeError
from limbeck.models import share_
from limbeck.recipes.adapters.adapter import Adapter, AdapterContext
from limbeck.recipes.model_io import tap_path
from limbeck.recipes.options import construct, resolve_options

if TYPE_CHECKING:
    from limbeck.recipes.model_sources.model_spec import ModelSpec

__all__ = ["Share", "is_tied", "with_weights"]


def _options(
    *, modules: dict[str, str], teacher: str = "teacher", mode: Literal["frozen", "tied"] = "frozen"
) -> None: ...


class Share(Adapter):
    """``share: {modules: {STUDENT'S: TEACHER'S}, teacher: NAME, mode: frozen | tied}``."""

    key = "share"

    def resolve(self, given: Mapping[str, Any], path: str) -> dict[str, Any]:
        place = f"{path}.share"
        if not isinstance(given["share"], Mapping):
            raise RecipeError(
                f"{place} is {given['share']!r}; write {{modules: {{STUDENT'S: TEACHER'S}}}}",
                code="wrong_type",
                path=place,
            )
        options = resolve_options(_options, given["share"], path=place, name="share")
        if not options["modules"]:
            raise RecipeError(
                f"{place}.modules names no module; name one of the student, as in {{head: head}}",
                code="missing",
                path=f"{place}.modules",
            )
        if options["teacher"] == "student":
            raise RecipeError(
                f"{place}.teacher is the student itself; name another model",
                code="out_of_range",
                path=f"{place}.teacher",
            )
        return {"share": options}

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        return (spec.adapter_options["share"]["teacher"],)

    def apply(self, model: nn.Module, spec: ModelSpec, context: AdapterContext) -> nn.Module:
        share, place = spec.adapter_options["share"], f"{spec.path}.share"
        other = with_weights(context, share["teacher"], place)
        modules = {
            tap_path(model, mine, f"{place}.modules"): tap_path(other, theirs, f"{place}.modules.{mine}")
            for mine, theirs in share["modules"].items()
        }
        options = {"student": model, "teacher": other, "modules": modules, "mode": share["mode"]}
        adapted: nn.Module = construct(share_, options, path=place)
        return adapted

    def shipped(
        self, model: nn.Module, weights: Mapping[str, Tensor], spec: ModelSpec, context: AdapterContext
    ) -> dict[str, nn.Module]:
        # Loading into tied modules would write into the teacher.
        model.load_state_dict(weights)
        return {"": model}


def is_tied(student: ModelSpec) -> bool:
    """Whether shared modules train with the student."""
    share = student.adapter_options.get("share")
    return share is not None and share["mode"] == "tied"


def with_weights(context: AdapterContext, name: str, path: str) -> nn.Module:
    """The model that an adapter takes modules from.

    Raises:
        RecipeError: if it is made of others.
    """
    if name not in context.models:
        raise RecipeError.at(
            f"{path}.teacher", f"{name!r} has no weights of its own; name a model that has", code="unsupported"
        )
    return context.models[name]
