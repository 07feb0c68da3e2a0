"""The teachers of a recipe: which of them are in use, what they are made of, and each as one model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from limbeck.core import Teacher
from limbeck.errors import RecipeError, suggest
from limbeck.recipes.model_sources import ModelSpec, TeacherContext
from limbeck.recipes.term_spec import Objective, sources_of
from limbeck.teachers import Confidence, Ensemble, MapClasses, RandomTeacher

__all__ = ["TeacherModel", "closure", "made_of", "teachers_in_use", "trained_states"]


def teachers_in_use(
    specs: Mapping[str, ModelSpec], terms: Objective, learners: Mapping[str, str], *, without_adapter: bool = False
) -> tuple[str, ...]:
    """The models that a training needs beside its learners, each after all that it needs itself.

    A model needs those that it is made of, and those that its own objective reads; a learner those that it begins from,
    and those that its adapter takes modules from.

    Args:
        specs: the sections of the recipe.
        terms: of the training.
        learners: their sections, by name on the board.
        without_adapter: whether the student trains without its adapter.

    Raises:
        RecipeError: if a source or a member is not in the recipe, or a model needs itself.
    """
    used: list[str] = []

    def visit(name: str, path: str, above: tuple[str, ...], order: list[str]) -> None:
        if name not in specs:
            raise RecipeError.at(path, f"no source {name!r}.{suggest(name, {*specs, 'batch'})}", code="unknown_name")
        if name in above:
            raise RecipeError(
                f"models.{name} needs itself: {' -> '.join((*above, name))}", code="cycle", path=f"models.{name}"
            )
        for needed, place in specs[name].references:
            visit(needed, place, (*above, name), order)
        if name not in order:
            order.append(name)

    for name, path in (*sources_of(terms), *_beside([specs[name] for name in learners.values()], without_adapter)):
        visit(name, path, (), used)
    # The others never run, but their sections must be valid as well.
    for name in specs:
        visit(name, f"models.{name}", (), [])
    used = [name for name in used if name not in learners]
    for name in used:
        if specs[name].co_training is not None:
            raise RecipeError(
                f"models.{name} trains together with the student; it teaches only in the same steps",
                code="unsupported",
                path=f"models.{name}",
            )
    return tuple(used)


def _beside(learners: Sequence[ModelSpec], without_adapter: bool) -> Iterator[tuple[str, str]]:
    """The models that learners need beside their terms, and the places in the recipe that name them."""
    for spec in learners:
        for other in spec.needs:
            yield other, f"{spec.path}.{spec.source.key}"
    for spec in [] if without_adapter else learners:
        yield from spec.adapter_needs()


def closure(name: str, specs: Mapping[str, ModelSpec]) -> list[str]:
    """A model and all that it is made of, each once."""
    found = [name, *(part for needed in specs[name].needs for part in closure(needed, specs))]
    return list(dict.fromkeys(found))


def made_of(name: str, specs: Mapping[str, ModelSpec], whole: Collection[str]) -> list[str]:
    """The models that one is made of, each once; those called ``whole`` are made of themselves alone."""
    if name in whole:
        return [name]
    return list(dict.fromkeys(part for needed in specs[name].needs for part in made_of(needed, specs, whole)))


def trained_states(teachers: Mapping[str, Teacher], specs: Mapping[str, ModelSpec]) -> dict[str, dict[str, Tensor]]:
    """The states that a training left in teachers and in members of teachers, by name."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, teacher in teachers.items():
        inner = _unwrapped(teacher)
        if isinstance(inner, Ensemble | RandomTeacher):
            found |= trained_states(inner.members, specs)
        own = specs[name].source.trained_state(inner)
        if own:
            found[name] = own
    return found


def _unwrapped(teacher: Teacher) -> Teacher:
    return _unwrapped(teacher.teacher) if isinstance(teacher, Confidence | MapClasses) else teacher


class TeacherModel(nn.Module):
    """A teacher that is made of models, as one model of a whole batch, in which each reads its own inputs."""

    def __init__(self, name: str, context: TeacherContext) -> None:
        super().__init__()
        leaves = made_of(name, context.specs, context.models)
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
