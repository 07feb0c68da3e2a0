"""The teachers of a recipe: which of them are in use, what they are made of, and each as one model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from limbeck.core import Teacher
from limbeck.errors import RecipeError, suggest
from limbeck.recipes.forms import Parts, form_of
from limbeck.recipes.terms import sources
from limbeck.recipes.together import trains_together
from limbeck.teachers import Confidence, Ensemble, MapClasses, RandomTeacher

__all__ = ["AsModel", "closure", "left_in", "made_of", "teachers_in_use"]

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
    # The others never run, but what they say must be right as well.
    for name in models:
        visit(name, f"models.{name}", (), [])
    used = [name for name in used if name not in learners]
    for name in used:
        if trains_together(models[name].get("train")):
            raise RecipeError(f"models.{name} trains together with the student; it teaches only in the same steps")
    return tuple(used)


def _needed(name: str, spec: Spec) -> Iterator[tuple[str, str]]:
    """The models that one needs before it can speak, and where it says so."""
    form = form_of(spec)
    for member in form.needs(spec):
        if member == "student" and not form.may_need_student:
            raise RecipeError(f"models.{name}.{form.key}: the student cannot be a member, as it learns from it")
        yield member, f"models.{name}.{form.key}"
    yield from sources(spec.get("objective") or {}, f"models.{name}.objective")


def closure(name: str, recipe: Spec) -> list[str]:
    """A model and all that it is made of, each once."""
    spec = recipe["models"][name]
    found = [name, *(part for needed in form_of(spec).needs(spec) for part in closure(needed, recipe))]
    return list(dict.fromkeys(found))


def made_of(name: str, recipe: Spec, whole: Collection[str]) -> list[str]:
    """The models that one is made of, each once; those called ``whole`` are made of themselves alone."""
    if name in whole:
        return [name]
    spec = recipe["models"][name]
    return list(dict.fromkeys(part for needed in form_of(spec).needs(spec) for part in made_of(needed, recipe, whole)))


def left_in(teachers: Mapping[str, Teacher], recipe: Spec) -> dict[str, dict[str, Tensor]]:
    """What their training has left in teachers, and in the members of teachers, by name."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, teacher in teachers.items():
        bare = _bare(teacher)
        if isinstance(bare, Ensemble | RandomTeacher):
            found |= left_in(bare.members, recipe)
        own = form_of(recipe["models"][name]).left(bare)
        if own:
            found[name] = own
    return found


def _bare(teacher: Teacher) -> Teacher:
    return _bare(teacher.teacher) if isinstance(teacher, Confidence | MapClasses) else teacher


class AsModel(nn.Module):
    """A teacher that is made of models, as one model of a whole batch, in which each reads its own inputs."""

    def __init__(self, name: str, parts: Parts) -> None:
        super().__init__()
        leaves = made_of(name, parts.recipe, parts.models)
        self.members = nn.ModuleDict({f"_{leaf}": parts.models[leaf] for leaf in leaves})
        # In a tuple: its modules stand in `members` already.
        self._teacher = (parts.teacher(name),)

    @property
    def teacher(self) -> Teacher:
        """What it runs."""
        return self._teacher[0]

    def forward(self, **batch: Any) -> Tensor:
        logits: Tensor = self.teacher({"batch": batch})["logits"]
        return logits
