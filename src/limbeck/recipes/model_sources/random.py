"""One of several models, drawn anew for every step."""

from __future__ import annotations

from typing import Any

from limbeck.core import Teacher
from limbeck.recipes.model_sources.members import with_weights
from limbeck.recipes.model_sources.model_source import ModelSource, Section, Spec, TeacherContext
from limbeck.recipes.options import construct
from limbeck.teachers import RandomTeacher

__all__ = ["FromRandom"]


class FromRandom(ModelSource):
    """``{random: {a: 1, b: 1}, seed: 0}``."""

    key = "random"

    def resolve(self, section: Section) -> dict[str, Any]:
        section = with_weights(section, self.key)
        return section.resolved(self.key, RandomTeacher, supplied=("members",), renamed={"weights": self.key})

    def needs(self, spec: Spec) -> tuple[str, ...]:
        return tuple(spec[self.key])

    def is_model(self, spec: Spec) -> bool:
        return False

    def teacher(self, name: str, context: TeacherContext) -> Teacher:
        spec = context.recipe["models"][name]
        members = {member: context.teacher(member) for member in spec[self.key]}
        options = {"members": members, "weights": spec[self.key], "seed": spec["seed"]}
        drawn: RandomTeacher = construct(RandomTeacher, options, path=f"models.{name}")
        return drawn
