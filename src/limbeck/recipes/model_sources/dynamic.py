"""A weight and a temperature for each row, in the place of a model."""

from __future__ import annotations

from typing import Any

from limbeck.core import Teacher, source_of
from limbeck.recipes.model_sources.model_source import ModelSource, TeacherContext
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.options import construct, resolve_options
from limbeck.teachers import Dynamic

__all__ = ["FromDynamic"]


def _options(*, dynamic: dict[str, Any]) -> None: ...


class FromDynamic(ModelSource):
    """``{dynamic: {by: confidence, temperature: 4.0, …}}``: how much supervision each row needs."""

    key = "dynamic"
    may_need_student = True

    def parse(self, section: Section) -> ModelSpec:
        own, path = section.resolved(self.key, _options)[self.key], f"{section.path}.{self.key}"
        return section.spec(self, {self.key: resolve_options(Dynamic, own, path=path, name=self.key)})

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        own = spec.options[self.key]
        addresses = [own["student"], *([own["teacher"]] if own["by"] == "agreement" else [])]
        return tuple(dict.fromkeys(map(source_of, addresses)))

    def reads(self, spec: ModelSpec) -> tuple[str, ...]:
        return self.needs(spec)

    def is_model(self, spec: ModelSpec) -> bool:
        return False

    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        dynamic: Dynamic = construct(Dynamic, spec.options[self.key], path=f"{spec.path}.{self.key}")
        return dynamic
