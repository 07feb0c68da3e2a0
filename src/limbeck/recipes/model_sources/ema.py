"""The moving average of a student's weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from limbeck.core import Teacher
from limbeck.recipes.model_sources.model_source import ModelSource, Section, Spec, TeacherContext
from limbeck.recipes.options import construct
from limbeck.teachers import EMA

__all__ = ["FromEMA"]


class FromEMA(ModelSource):
    """``{ema: student, decay: 0.999, …}``: the mean teacher of a model that is training."""

    key = "ema"
    may_need_student = True

    def resolve(self, section: Section) -> dict[str, Any]:
        return section.resolved(self.key, EMA, renamed={"student": self.key})

    def needs(self, spec: Spec) -> tuple[str, ...]:
        return (spec[self.key],)

    def learns(self, spec: Spec) -> bool:
        return True

    def follows(self, spec: Spec) -> str | None:
        followed: str = spec[self.key]
        return followed

    def teacher(self, name: str, context: TeacherContext) -> Teacher:
        options = {
            "student" if option == self.key else option: value for option, value in context.options(name).items()
        }
        ema: EMA = construct(EMA, options, path=f"models.{name}")
        return ema

    def trained_state(self, teacher: Teacher) -> dict[str, Tensor]:
        return teacher.state_dict() if isinstance(teacher, EMA) else {}
