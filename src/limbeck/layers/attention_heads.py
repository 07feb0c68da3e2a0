"""Numbers of attention heads that a recipe leaves open, taken from the models that losses read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from limbeck.core import source_of
from limbeck.errors import RecipeError
from limbeck.models.network import network

__all__ = ["leaves_open", "with_heads"]

Spec = Mapping[str, Any]

# What a loss calls a number of heads, and how the arguments begin that bring the projections of these models.
_sides = {
    "student_heads": ("student_",),
    "teacher_heads": ("teacher_",),
    "relation_heads": ("student_", "teacher_"),
}


def leaves_open(recipe: Spec) -> bool:
    """Whether a loss of the recipe takes a number of heads from the models."""
    return any(_open(term) for _, _, terms in _objectives(recipe) for term in terms.values())


def with_heads(recipe: Spec, models: Mapping[str, nn.Module]) -> tuple[dict[str, Any], list[str]]:
    """The recipe with the numbers of heads of its models wherever a loss leaves them open, and notes.

    Args:
        recipe: as `resolve` gives it.
        models: those with weights of their own, by section.

    Raises:
        RecipeError: if a model does not say how many heads it has, or a loss needs one number and the models differ.
    """
    found, notes = dict(recipe), []
    for path, learner, terms in _objectives(recipe):
        with_full_batches = {name: _filled(term, f"{path}.{name}", learner, models) for name, term in terms.items()}
        notes += [line for name in terms for line in _unpaired(terms[name], with_full_batches[name], f"{path}.{name}")]
        if path == "objective":
            found["objective"] = with_full_batches
        else:
            found["models"] = {**found["models"], learner: {**found["models"][learner], "objective": with_full_batches}}
    return found, notes


def _objectives(recipe: Spec) -> Iterator[tuple[str, str, Spec]]:
    """Every objective: where it stands, the model that is the student in it, and its terms."""
    for name, spec in recipe["models"].items():
        if spec.get("objective") is not None:
            yield f"models.{name}.objective", name, spec["objective"]
    yield "objective", "student", recipe["objective"]


def _open(term: Spec) -> list[str]:
    return [option for option in _sides if option in term["loss"] and term["loss"][option] is None]


def _filled(term: Spec, path: str, learner: str, models: Mapping[str, nn.Module]) -> Spec:
    found = {
        option: _agreed(option, {name: _heads(name, f"{path}.loss.{option}", models) for name in names}, path)
        for option in _open(term)
        if (names := _read(term, _sides[option], learner))
    }
    return {**term, "loss": {**term["loss"], **found}}


def _read(term: Spec, sides: tuple[str, ...], learner: str) -> list[str]:
    """The sections of the models that these arguments read."""
    sources = [source_of(at) for argument, at in (term["inputs"] or {}).items() if argument.startswith(sides)]
    return list(dict.fromkeys(learner if source == "student" else source for source in sources if source != "batch"))


def _heads(name: str, path: str, models: Mapping[str, nn.Module]) -> int:
    config = getattr(network(models[name])[0], "config", None) if name in models else None
    heads: int | None = getattr(config, "num_attention_heads", None)
    if heads is None:
        raise RecipeError(f"{path}: {name} does not say how many heads it has; give the number")
    return heads


def _agreed(option: str, heads: Mapping[str, int], path: str) -> int:
    if len(set(heads.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in heads.items())
        raise RecipeError(
            f"{path}.loss.{option}: {said} heads; give one number that divides the width of both, as in {option}: 2"
        )
    return next(iter(heads.values()))


def _unpaired(term: Spec, with_full_batches: Spec, path: str) -> Iterator[str]:
    """That heads have no partners, where the recipe did not say so itself."""
    student, teacher = (with_full_batches["loss"].get(option) for option in ("student_heads", "teacher_heads"))
    if _open(term) and student != teacher:
        yield f"{path}: {student} heads learn from {teacher}, so the means over the heads are compared"
