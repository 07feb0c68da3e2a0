"""One of several models, drawn anew for every step."""

from __future__ import annotations

from limbeck.core import Teacher
from limbeck.recipes.model_sources.members import with_weights
from limbeck.recipes.model_sources.model_source import ModelSource, TeacherContext
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.options import construct
from limbeck.teachers import RandomTeacher

__all__ = ["FromRandom"]


class FromRandom(ModelSource):
    """``{random: {a: 1, b: 1}, seed: 0}``."""

    key = "random"

    def parse(self, section: Section) -> ModelSpec:
        named = with_weights(section, self.key)
        return section.spec(
            self, named.resolved(self.key, RandomTeacher, supplied=("members",), renamed={"weights": self.key})
        )

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        return tuple(spec.options[self.key])

    def is_model(self, spec: ModelSpec) -> bool:
        return False

    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        options = dict(spec.options)
        weights = options.pop(self.key)
        members = {member: context.teacher(member) for member in weights}
        drawn: RandomTeacher = construct(
            RandomTeacher, {"members": members, "weights": weights, **options}, path=spec.path
        )
        return drawn
