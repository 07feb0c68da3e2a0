"""A weight and a temperature for each row, in the place of a model."""

from __future__ import annotations

from typing import Any

from limbeck.core import Teacher, source_of
from limbeck.recipes.model_sources.model_source import ModelSource, Section, Spec, TeacherContext
from limbeck.recipes.options import construct, resolve_options
from limbeck.teachers import Dynamic

__all__ = ["FromDynamic"]


def _options(*, dynamic: dict[str, Any]) -> None: ...


class FromDynamic(ModelSource):
    """``{dynamic: {by: confidence, temperature: 4.0, …}}``: how much supervision each row needs."""

    key = "dynamic"
    may_need_student = True

    def resolve(self, section: Section) -> dict[str, Any]:
        own, path = section.resolved(self.key, _options)[self.key], f"{section.path}.{self.key}"
        return {self.key: resolve_options(Dynamic, own, path=path, name=self.key)}

    def needs(self, spec: Spec) -> tuple[str, ...]:
        own = spec[self.key]
        addresses = [own["student"], *([own["teacher"]] if own["by"] == "agreement" else [])]
        return tuple(dict.fromkeys(map(source_of, addresses)))

    def reads(self, spec: Spec) -> tuple[str, ...]:
        return self.needs(spec)

    def is_model(self, spec: Spec) -> bool:
        return False

    def teacher(self, name: str, context: TeacherContext) -> Teacher:
        dynamic: Dynamic = construct(
            Dynamic, context.recipe["models"][name][self.key], path=f"models.{name}.{self.key}"
        )
        return dynamic
