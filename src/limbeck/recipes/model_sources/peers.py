"""The common voice of models that train together."""

from __future__ import annotations

from typing import Any

from limbeck.core import Teacher
from limbeck.errors import RecipeError
from limbeck.recipes.model_sources.model_source import ModelSource, Section, Spec, TeacherContext
from limbeck.recipes.options import construct
from limbeck.teachers import PeerEnsemble

__all__ = ["FromPeers"]


class FromPeers(ModelSource):
    """``{peers: [student, peer], method: min_logit}``."""

    key = "peers"
    may_need_student = True

    def resolve(self, section: Section) -> dict[str, Any]:
        return section.resolved(self.key, PeerEnsemble, renamed={"students": self.key})

    def needs(self, spec: Spec) -> tuple[str, ...]:
        return tuple(spec[self.key])

    def is_model(self, spec: Spec) -> bool:
        return False

    def teacher(self, name: str, context: TeacherContext) -> Teacher:
        for peer in context.options(name)[self.key]:
            if peer not in context.learners:
                raise RecipeError(f"models.{name}.{self.key}: {peer!r} does not train with {sorted(context.learners)}")
        options = {
            "students" if option == self.key else option: value for option, value in context.options(name).items()
        }
        ensemble: PeerEnsemble = construct(PeerEnsemble, options, path=f"models.{name}")
        return ensemble
