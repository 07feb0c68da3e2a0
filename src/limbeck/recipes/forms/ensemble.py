"""Several models that speak with one voice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from limbeck.core import Teacher
from limbeck.errors import RecipeError
from limbeck.recipes.forms.form import Form, Parts, Section, Spec
from limbeck.recipes.options import construct, resolve_options
from limbeck.teachers import Ensemble

__all__ = ["FromMembers"]


def _options(
    *,
    ensemble: dict[str, float],
    mean: Literal["probabilities", "logits"] = "probabilities",
    temperature: float = 1.0,
) -> None: ...


class FromMembers(Form):
    """``{ensemble: {a: 1, b: 2}, …}``: the weighted mean of other models."""

    key = "ensemble"

    def resolve(self, section: Section) -> dict[str, Any]:
        section.refuse_training(self.key)
        if section.read() != replace(section, reading={}).read():
            raise RecipeError(
                f"{section.path}: an ensemble has no taps, inputs or call of its own; give them to its members"
            )
        members, given = section.options["ensemble"], section.options
        if isinstance(members, list) and all(isinstance(member, str) for member in members):
            given = {**given, "ensemble": dict.fromkeys(members, 1.0)}
        return {**resolve_options(_options, given, path=section.path, name="ensemble"), **section.read()}

    def needs(self, spec: Spec) -> tuple[str, ...]:
        return tuple(spec["ensemble"])

    def teacher(self, name: str, parts: Parts) -> Teacher:
        spec = parts.recipe["models"][name]
        members = {member: parts.teacher(member) for member in spec["ensemble"]}
        options = {"weights": spec["ensemble"], "mean": spec["mean"], "temperature": spec["temperature"]}
        ensemble: Ensemble = construct(Ensemble, {"members": members, **options}, path=f"models.{name}")
        return ensemble
