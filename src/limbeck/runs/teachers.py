"""The teachers of a recipe: which of them are in use, what they are made of, and each as one model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from limbeck.core import Teacher
from limbeck.errors import RecipeError, suggest
from limbeck.recipes.co_training import is_co_trained
from limbeck.recipes.model_sources import TeacherContext, model_source_of
from limbeck.recipes.terms import sources
from limbeck.teachers import Confidence, Ensemble, MapClasses, RandomTeacher

__all__ = ["TeacherModel", "closure", "made_of", "teachers_in_use", "trained_states"]

Spec = Mapping[str, Any]


def teachers_in_use(
    recipe: Spec, terms: Mapping[str, Spec], learners: Collection[str], beside: Iterable[tuple[str, str]] = ()
) -> tuple[str, ...]:
    """The models that these terms read beside the learners, each after all that it needs itself.

    A model needs those that it is made of, and those that its own objective reads.

    Args:
        recipe: as `resolve` gives it.
        terms: resolved terms, by name.
        learners: the names of those that learn by them.
        beside: further models in use, and where the recipe says so.

    Raises:
        RecipeError: if a source or a member is not in the recipe, or a model needs itself.
    """
    models = recipe["models"]
    used: list[str] = []

    def visit(name: str, path: str, above: tuple[str, ...], order: list[str]) -> None:
        if name not in models:
            raise RecipeError(f"{path}: no source {name!r}.{suggest(name, {*models, 'batch'})}")
        if name in above:
            raise RecipeError(f"models.{name} needs itself: {' -> '.join((*above, name))}")
        for needed, place in _needed(name, models[name]):
            visit(needed, place, (*above, name), order)
        if name not in order:
            order.append(name)

    for name, path in (*sources(terms, "objective"), *beside):
        visit(name, path, (), used)
    # The others never run, but their sections must be valid as well.
    for name in models:
        visit(name, f"models.{name}", (), [])
    used = [name for name in used if name not in learners]
    for name in used:
        if is_co_trained(models[name].get("train")):
            raise RecipeError(f"models.{name} trains together with the student; it teaches only in the same steps")
    return tuple(used)


def _needed(name: str, spec: Spec) -> Iterator[tuple[str, str]]:
    """The models that one needs to compute its outputs, and the places in the recipe that name them."""
    source = model_source_of(spec)
    for member in source.needs(spec):
        if member == "student" and not source.may_need_student:
            raise RecipeError(f"models.{name}.{source.key}: the student cannot be a member, as it learns from it")
        yield member, f"models.{name}.{source.key}"
    yield from sources(spec.get("objective") or {}, f"models.{name}.objective")


def closure(name: str, recipe: Spec) -> list[str]:
    """A model and all that it is made of, each once."""
    spec = recipe["models"][name]
    found = [name, *(part for needed in model_source_of(spec).needs(spec) for part in closure(needed, recipe))]
    return list(dict.fromkeys(found))


def made_of(name: str, recipe: Spec, whole: Collection[str]) -> list[str]:
    """The models that one is made of, each once; those called ``whole`` are made of themselves alone."""
    if name in whole:
        return [name]
    spec = recipe["models"][name]
    return list(
        dict.fromkeys(part for needed in model_source_of(spec).needs(spec) for part in made_of(needed, recipe, whole))
    )


def trained_states(teachers: Mapping[str, Teacher], recipe: Spec) -> dict[str, dict[str, Tensor]]:
    """The states that a training left in teachers and in members of teachers, by name."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, teacher in teachers.items():
        inner = _unwrapped(teacher)
        if isinstance(inner, Ensemble | RandomTeacher):
            found |= trained_states(inner.members, recipe)
        own = model_source_of(recipe["models"][name]).trained_state(inner)
        if own:
            found[name] = own
    return found


def _unwrapped(teacher: Teacher) -> Teacher:
    return _unwrapped(teacher.teacher) if isinstance(teacher, Confidence | MapClasses) else teacher


class TeacherModel(nn.Module):
    """A teacher that is made of models, as one model of a whole batch, in which each reads its own inputs."""

    def __init__(self, name: str, context: TeacherContext) -> None:
        super().__init__()
        leaves = made_of(name, context.recipe, context.models)
        self.members = nn.ModuleDict({f"_{leaf}": context.models[leaf] for leaf in leaves})
        # In a tuple: its modules stand in `members` already.
        self._teacher = (context.teacher(name),)

    @property
    def teacher(self) -> Teacher:
        """What it runs."""
        return self._teacher[0]

    def forward(self, **batch: Any) -> Tensor:
        logits: Tensor = self.teacher({"batch": batch})["logits"]
        return logits
