"""The common voice of models that train together."""

from __future__ import annotations

from typing import Any

from limbeck.core import Teacher
from limbeck.errors import RecipeError
from limbeck.recipes.forms.form import Form, Parts, Section, Spec
from limbeck.recipes.options import construct
from limbeck.teachers import PeerEnsemble

__all__ = ["FromPeers"]


class FromPeers(Form):
    """``{peers: [student, peer], method: min_logit}``."""

    key = "peers"
    may_need_student = True

    def resolve(self, section: Section) -> dict[str, Any]:
        return section.resolved(self.key, PeerEnsemble, renamed={"students": self.key})

    def needs(self, spec: Spec) -> tuple[str, ...]:
        return tuple(spec[self.key])

    def is_model(self, spec: Spec) -> bool:
        return False

    def teacher(self, name: str, parts: Parts) -> Teacher:
        for peer in parts.options(name)[self.key]:
            if peer not in parts.learners:
                raise RecipeError(f"models.{name}.{self.key}: {peer!r} does not train with {sorted(parts.learners)}")
        options = {"students" if option == self.key else option: value for option, value in parts.options(name).items()}
        ensemble: PeerEnsemble = construct(PeerEnsemble, options, path=f"models.{name}")
        return ensemble
