"""A teacher without a model."""

from __future__ import annotations

from typing import Any

from limbeck.core import Teacher
from limbeck.recipes.model_sources.model_source import ModelSource, Section, Spec, TeacherContext
from limbeck.recipes.options import construct, resolve_options
from limbeck.teachers import TeacherFree

__all__ = ["FromTeacherFree"]


def _options(*, teacher_free: dict[str, Any]) -> None: ...


class FromTeacherFree(ModelSource):
    """``{teacher_free: {confidence: 0.99}}``: what the label says, softened."""

    key = "teacher_free"

    def resolve(self, section: Section) -> dict[str, Any]:
        own, path = section.resolved(self.key, _options)[self.key], f"{section.path}.{self.key}"
        return {self.key: resolve_options(TeacherFree, own, path=path, name=self.key, supplied=("classes",))}

    def is_model(self, spec: Spec) -> bool:
        return False

    def teacher(self, name: str, context: TeacherContext) -> Teacher:
        options = {"classes": len(context.classes), **context.recipe["models"][name][self.key]}
        virtual: TeacherFree = construct(TeacherFree, options, path=f"models.{name}.{self.key}")
        return virtual
