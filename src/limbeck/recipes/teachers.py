"""The teachers of a recipe: which of them are in use, what they are made of, and each as one model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from limbeck.errors import RecipeError, suggest
from limbeck.recipes.forms import Parts, form_of, has_weights
from limbeck.recipes.terms import sources

__all__ = ["AsModel", "made_of", "teachers_in_use"]

Spec = Mapping[str, Any]


def teachers_in_use(recipe: Spec, terms: Mapping[str, Spec], learners: Collection[str]) -> tuple[str, ...]:
    """The models that these terms read beside the learners, each after all that it needs itself.

    A model needs those that it is made of, and those that its own objective reads.

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

    for name, path in sources(terms, "objective"):
        if name not in learners:
            visit(name, path, (), used)
    # The others never run, but what they say must be right as well.
    for name in models:
        visit(name, f"models.{name}", (), [])
    return tuple(used)


def _needed(name: str, spec: Spec) -> Iterator[tuple[str, str]]:
    """The models that one needs before it can speak, and where it says so."""
    form = form_of(spec)
    for member in form.needs(spec):
        if member == "student" and not form.may_need_learners:
            raise RecipeError(f"models.{name}: the student cannot be a member of an {form.key} of teachers")
        yield member, f"models.{name}.{form.key}"
    yield from sources(spec.get("objective") or {}, f"models.{name}.objective")


def made_of(name: str, recipe: Spec) -> list[str]:
    """The models with weights that one is made of, each once; the one itself, if it has weights."""
    spec = recipe["models"][name]
    if has_weights(spec):
        return [name]
    return list(dict.fromkeys(leaf for part in form_of(spec).needs(spec) for leaf in made_of(part, recipe)))


class AsModel(nn.Module):
    """A teacher that is made of models, as one model of a whole batch, in which each reads its own inputs."""

    def __init__(self, name: str, parts: Parts) -> None:
        super().__init__()
        self.members = nn.ModuleDict({f"_{leaf}": parts.models[leaf] for leaf in made_of(name, parts.recipe)})
        # In a tuple: its modules stand in `members` already.
        self._teacher = (parts.teacher(name),)

    def forward(self, **batch: Any) -> Tensor:
        logits: Tensor = self._teacher[0]({"batch": batch})["logits"]
        return logits
