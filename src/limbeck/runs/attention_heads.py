"""Numbers of attention heads that a recipe leaves open, taken from the models that losses read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import nn

from limbeck.core import source_of
from limbeck.errors import RecipeError
from limbeck.models.network import network
from limbeck.recipes.model_sources import ModelSpec
from limbeck.recipes.recipe import Recipe
from limbeck.recipes.term_spec import Objective, TermSpec

__all__ = ["leaves_open", "with_heads"]

# What a loss calls a number of heads, and how the arguments begin that bring the projections of these models.
_sides = {
    "student_heads": ("student_",),
    "teacher_heads": ("teacher_",),
    "relation_heads": ("student_", "teacher_"),
}


def leaves_open(recipe: Recipe) -> bool:
    """Whether a loss of the recipe takes a number of heads from the models."""
    objectives = [recipe.objective, *(spec.objective or {} for spec in recipe.models.values())]
    return any(_open(term) for terms in objectives for term in terms.values())


def with_heads(recipe: Recipe, models: Mapping[str, nn.Module]) -> tuple[Recipe, list[str]]:
    """The recipe with the numbers of heads of its models wherever a loss leaves them open, and notes.

    Args:
        recipe: parsed.
        models: those with weights of their own, by section.

    Raises:
        RecipeError: if a model does not say how many heads it has, or a loss needs one number and the models differ.
    """
    specs: dict[str, ModelSpec] = dict(recipe.models)
    notes: list[str] = []
    for name, spec in specs.items():
        if spec.learning is not None and spec.objective is not None:
            filled = {key: _filled(term, name, models) for key, term in spec.objective.items()}
            notes += _notes(spec.objective, filled)
            specs[name] = replace(spec, learning=replace(spec.learning, objective=filled))
    objective = {key: _filled(term, "student", models) for key, term in recipe.objective.items()}
    notes += _notes(recipe.objective, objective)
    return replace(recipe, models=specs, objective=objective), notes


def _open(term: TermSpec) -> list[str]:
    options = term.loss.options
    return [option for option in _sides if option in options and options[option] is None]


def _filled(term: TermSpec, learner: str, models: Mapping[str, nn.Module]) -> TermSpec:
    path = term.loss.path
    found = {
        option: _agreed(f"{path}.{option}", {name: _heads(name, f"{path}.{option}", models) for name in names})
        for option in _open(term)
        if (names := _read(term, _sides[option], learner))
    }
    return replace(term, loss=replace(term.loss, options={**term.loss.options, **found}))


def _read(term: TermSpec, sides: tuple[str, ...], learner: str) -> list[str]:
    """The sections of the models that these arguments read."""
    sources = [source_of(address) for argument, address in term.inputs.items() if argument.startswith(sides)]
    return list(dict.fromkeys(learner if source == "student" else source for source in sources if source != "batch"))


def _heads(name: str, path: str, models: Mapping[str, nn.Module]) -> int:
    config = getattr(network(models[name])[0], "config", None) if name in models else None
    heads: int | None = getattr(config, "num_attention_heads", None)
    if heads is None:
        raise RecipeError.at(path, f"{name} does not say how many heads it has; give the number", code="missing")
    return heads


def _agreed(path: str, heads: Mapping[str, int]) -> int:
    if len(set(heads.values())) > 1:
        each = ", ".join(f"{name} has {count}" for name, count in heads.items())
        option = path.rpartition(".")[2]
        raise RecipeError.at(
            path, f"{each} heads; give one number that divides the width of both, as in {option}: 2", code="mismatch"
        )
    return next(iter(heads.values()))


def _notes(terms: Objective, filled: Objective) -> Iterator[str]:
    """That heads have no partners, where the recipe did not say so itself."""
    for name, term in terms.items():
        options = filled[name].loss.options
        student, teacher = options.get("student_heads"), options.get("teacher_heads")
        if _open(term) and student != teacher:
            yield f"{term.path}: {student} heads learn from {teacher}, so the means over the heads are compared"
