"""A model that was given in Python."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from limbeck.models import is_estimator
from limbeck.recipes.model_sources.model_source import ModelContext, Section, Spec, WeightedModel
from limbeck.recipes.model_sources.teacher_wrappers import with_preprocess
from limbeck.recipes.options import construct

__all__ = ["OBJECT", "FromObject"]

OBJECT = "object"


class FromObject(WeightedModel):
    """``{object: NAME}``: a real object stands for it."""

    key = OBJECT

    def resolve(self, section: Section) -> dict[str, Any]:
        return {OBJECT: section.name, **section.read()}

    def initial(self, spec: Spec, context: ModelContext, *, seed: int, path: str) -> nn.Module:
        given = context.objects[spec[OBJECT]]
        if is_estimator(given):
            model = construct(context.task.from_estimator, {"estimator": given}, path=path)
        else:
            # It stays as its owner left it.
            model = copy.deepcopy(given)
        return with_preprocess(model, spec, path)

    def architecture(self, spec: Spec, path: str) -> Spec | None:
        return None
