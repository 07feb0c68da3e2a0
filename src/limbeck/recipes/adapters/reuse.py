"""The classifier of a teacher in place of the student's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from limbeck.errors import RecipeError
from limbeck.models import ReusedClassifier
from limbeck.recipes.adapters.adapter import Adapter, AdapterContext
from limbeck.recipes.adapters.share import with_weights
from limbeck.recipes.model_io import tap_path
from limbeck.recipes.options import construct, resolve_options

if TYPE_CHECKING:
    from limbeck.recipes.model_sources.model_spec import ModelSpec

__all__ = ["Reuse", "added_taps", "reusing"]


def _options(*, student_features: str, teacher_features: str, teacher: str = "teacher", reduction: int = 2) -> None: ...


class Reuse(Adapter):
    """``reuse: {student_features: …, teacher_features: …, teacher: NAME}``; the term reads ``student.projected``."""

    key = "reuse"
    may_finetune = True

    def resolve(self, given: Mapping[str, Any], path: str) -> dict[str, Any]:
        place = f"{path}.reuse"
        if not isinstance(given["reuse"], Mapping):
            raise RecipeError(
                f"{place} is {given['reuse']!r}; write {{student_features: …, teacher_features: …}}",
                code="wrong_type",
                path=place,
            )
        options = resolve_options(_options, given["reuse"], path=place, name="reuse")
        if options["teacher"] == "student":
            raise RecipeError(
                f"{place}.teacher is the student itself; name another model",
                code="out_of_range",
                path=f"{place}.teacher",
            )
        return {"reuse": options}

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        return (spec.adapter_options["reuse"]["teacher"],)

    def adds(self, spec: ModelSpec) -> tuple[str, ...]:
        return ("projected",)

    def apply(self, model: nn.Module, spec: ModelSpec, context: AdapterContext) -> nn.Module:
        path = f"{spec.path}.reuse"
        if spec.taps:
            raise RecipeError.at(
                f"{spec.path}.taps",
                "a student that reuses a classifier has the tap 'projected' alone; remove it",
                code="conflict",
            )
        reuse = spec.adapter_options["reuse"]
        teacher = with_weights(context, reuse["teacher"], path)
        return reusing(model, teacher, reuse, context.images(path), path)

    def describe(
        self, part: str, spec: ModelSpec, models: Mapping[str, Mapping[str, Any] | None]
    ) -> Mapping[str, Any] | None:
        reuse = spec.adapter_options["reuse"]
        teacher = models[reuse["teacher"]]
        return None if teacher is None else {"reuse": {**reuse, "teacher": teacher}}


def reusing(
    model: nn.Module, teacher: nn.Module, reuse: Mapping[str, Any], example: Any, path: str
) -> ReusedClassifier:
    """The model with the teacher's classifier.

    Raises:
        RecipeError: if the two do not fit.
    """
    paths = {
        option: tap_path(of, reuse[option], f"{path}.{option}")
        for option, of in (("student_features", model), ("teacher_features", teacher))
    }
    options = {"student": model, "teacher": teacher, **paths, "example": example, "reduction": reuse["reduction"]}
    adapted: ReusedClassifier = construct(ReusedClassifier, options, path=path)
    return adapted


def added_taps(model: nn.Module) -> dict[str, str]:
    """The taps that an adapter adds to those of the section."""
    return {"projected": "projector"} if isinstance(model, ReusedClassifier) else {}
