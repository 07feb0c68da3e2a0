"""A model that was given in Python."""

from __future__ import annotations

import copy

from torch import nn

from limbeck.models import is_estimator
from limbeck.recipes.model_sources.model_source import ModelContext, WeightedModel
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.model_sources.teacher_wrappers import with_preprocess
from limbeck.recipes.options import construct

__all__ = ["OBJECT", "FromObject"]

OBJECT = "object"


class FromObject(WeightedModel):
    """``{object: NAME}``: a real object stands for it."""

    key = OBJECT

    def parse(self, section: Section) -> ModelSpec:
        return section.spec(self, {OBJECT: section.name}, io=section.io())

    def initial(self, spec: ModelSpec, context: ModelContext, *, seed: int) -> nn.Module:
        given = context.objects[spec.options[OBJECT]]
        if is_estimator(given):
            model = construct(context.task.from_estimator, {"estimator": given}, path=spec.path)
        else:
            # It stays as its owner left it.
            model = copy.deepcopy(given)
        return with_preprocess(model, spec.wrappers, spec.path)

    def architecture(self, spec: ModelSpec) -> None:
        return None
