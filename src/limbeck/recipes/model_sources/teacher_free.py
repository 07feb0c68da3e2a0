"""A teacher without a model."""

from __future__ import annotations

from typing import Any

from limbeck.core import Teacher
from limbeck.recipes.model_sources.model_source import ModelSource, TeacherContext
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.options import construct, resolve_options
from limbeck.teachers import TeacherFree

__all__ = ["FromTeacherFree"]


def _options(*, teacher_free: dict[str, Any]) -> None: ...


class FromTeacherFree(ModelSource):
    """``{teacher_free: {confidence: 0.99}}``: what the label says, softened."""

    key = "teacher_free"

    def parse(self, section: Section) -> ModelSpec:
        own, path = section.resolved(self.key, _options)[self.key], f"{section.path}.{self.key}"
        options = resolve_options(TeacherFree, own, path=path, name=self.key, supplied=("classes",))
        return section.spec(self, {self.key: options})

    def is_model(self, spec: ModelSpec) -> bool:
        return False

    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        options = {"classes": len(context.classes), **spec.options[self.key]}
        virtual: TeacherFree = construct(TeacherFree, options, path=f"{spec.path}.{self.key}")
        return virtual
