"""An ensemble: several models whose outputs are combined."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from limbeck.core import Teacher
from limbeck.errors import RecipeError
from limbeck.recipes.model_io import ModelIO
from limbeck.recipes.model_sources.members import with_weights
from limbeck.recipes.model_sources.model_source import ModelSource, TeacherContext
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.options import construct, resolve_options
from limbeck.teachers import Ensemble

__all__ = ["FromMembers"]


def _options(
    *,
    ensemble: dict[str, float],
    mean: Literal["probabilities", "logits"] = "probabilities",
    temperature: float = 1.0,
) -> None: ...


def _weighed(
    *,
    ensemble: dict[str, float],
    weights: Literal["learned", "confidence", "entropy"],
    mean: Literal["probabilities", "logits"] = "probabilities",
    temperature: float = 1.0,
    target: str = "batch.target",
) -> None: ...


class FromMembers(ModelSource):
    """``{ensemble: {a: 1, b: 2}, …}``: the weighted mean of other models."""

    key = "ensemble"

    def parse(self, section: Section) -> ModelSpec:
        section.refuse_training(self.key)
        if section.io() != ModelIO():
            raise RecipeError(
                f"{section.path}: an ensemble has no taps, inputs or call of its own; give them to its members",
                code="unsupported",
                path=f"{section.path}.{next(iter(section.reading))}",
            )
        given = with_weights(section, self.key).options
        if given.get("weights") is None:
            given.pop("weights", None)
            own = resolve_options(_options, given, path=section.path, name=self.key, beside=("weights",))
        else:
            own = resolve_options(_weighed, given, path=section.path, name=self.key)
            if len(set(own[self.key].values())) > 1:
                raise RecipeError.at(
                    f"{section.path}.{self.key}",
                    f"its weights are {own['weights']}; list the members alone",
                    code="conflict",
                )
        return section.spec(self, own, io=section.io())

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        return tuple(spec.options[self.key])

    def is_model(self, spec: ModelSpec) -> bool:
        # Weights by confidence need the label.
        return spec.options.get("weights") != "confidence"

    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        options = dict(spec.options)
        weights = options.pop(self.key)
        members = {member: context.teacher(member) for member in weights}
        ensemble: Ensemble = construct(
            Ensemble,
            {"members": members, "weights": weights, **options},
            path=spec.path,
            places=dict.fromkeys(("members", "weights"), f"{spec.path}.{self.key}"),
        )
        if spec.name in context.trained_states:
            ensemble.load_state_dict(context.trained_states[spec.name], strict=False)
        return ensemble

    def learns(self, spec: ModelSpec) -> bool:
        return spec.options.get("weights") == "learned"

    def trained_state(self, teacher: Teacher) -> dict[str, Tensor]:
        scores = teacher.scores if isinstance(teacher, Ensemble) else None
        return {} if scores is None else {"scores": scores.detach()}
