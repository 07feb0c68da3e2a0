"""The moving average of a student's weights."""

from __future__ import annotations

from torch import Tensor

from limbeck.core import Teacher
from limbeck.recipes.model_sources.model_source import ModelSource, TeacherContext
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.options import construct
from limbeck.teachers import EMA

__all__ = ["FromEMA"]


class FromEMA(ModelSource):
    """``{ema: student, decay: 0.999, …}``: the mean teacher of a model that is training."""

    key = "ema"
    may_need_student = True

    def parse(self, section: Section) -> ModelSpec:
        return section.spec(self, section.resolved(self.key, EMA, renamed={"student": self.key}))

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        return (spec.options[self.key],)

    def learns(self, spec: ModelSpec) -> bool:
        return True

    def follows(self, spec: ModelSpec) -> str | None:
        followed: str = spec.options[self.key]
        return followed

    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        options = {"student" if option == self.key else option: value for option, value in spec.options.items()}
        ema: EMA = construct(EMA, options, path=spec.path)
        return ema

    def trained_state(self, teacher: Teacher) -> dict[str, Tensor]:
        return teacher.state_dict() if isinstance(teacher, EMA) else {}
