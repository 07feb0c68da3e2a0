"""The common voice of models that train together."""

from __future__ import annotations

from limbeck.core import Teacher
from limbeck.errors import RecipeError
from limbeck.recipes.model_sources.model_source import ModelSource, TeacherContext
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.options import construct
from limbeck.teachers import PeerEnsemble

__all__ = ["FromPeers"]


class FromPeers(ModelSource):
    """``{peers: [student, peer], method: min_logit}``."""

    key = "peers"
    may_need_student = True

    def parse(self, section: Section) -> ModelSpec:
        return section.spec(self, section.resolved(self.key, PeerEnsemble, renamed={"students": self.key}))

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        return tuple(spec.options[self.key])

    def is_model(self, spec: ModelSpec) -> bool:
        return False

    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        for peer in spec.options[self.key]:
            if peer not in context.learners:
                raise RecipeError(f"{spec.path}.{self.key}: {peer!r} does not train with {sorted(context.learners)}")
        options = {"students" if option == self.key else option: value for option, value in spec.options.items()}
        ensemble: PeerEnsemble = construct(PeerEnsemble, options, path=spec.path)
        return ensemble
