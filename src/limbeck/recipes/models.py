"""The models of a recipe, as they are before a run trains them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core import at, map_tensors
from limbeck.errors import RecipeError, suggest
from limbeck.files import canonical_hash
from limbeck.recipes.classes import AllClasses
from limbeck.recipes.equipment import Bench, bare, equipment_of
from limbeck.recipes.forms import Workshop, has_weights, own_form
from limbeck.recipes.keys import initial_key
from limbeck.recipes.lessons import Lesson
from limbeck.recipes.together import trains_together
from limbeck.tasks import Task

__all__ = ["Models"]

# Rows that tell which coordinates of a hidden state matter, and how many of them pass through a model together.
_sampled = 256
_at_once = 32


class Models:
    """Builds every model that a section under ``models`` describes by itself: not those made of others.

    Args:
        recipe: as `resolve` gives it.
        task: with the data loaded.
        objects: models that were given as real objects, by name.
    """

    def __init__(self, recipe: Mapping[str, Any], task: Task, objects: Mapping[str, nn.Module]) -> None:
        self.specs: Mapping[str, Any] = recipe["models"]
        self.task = task
        self.objects = objects
        self._taught: Callable[[str], nn.Module] | None = None

    def taught_by(self, taught: Callable[[str], nn.Module]) -> Models:
        """The same, where a model that begins from another takes the weights that this one has after its training.

        Args:
            taught: gives a model by name, ready to teach.
        """
        found = copy.copy(self)
        found._taught = taught
        return found

    @property
    def names(self) -> list[str]:
        """The sections that describe a model with weights of its own."""
        return [name for name, spec in self.specs.items() if has_weights(spec)]

    def initial(self, name: str, seed: int) -> nn.Module:
        """A model before training: built, taken from a run or another model, or a copy of the object that was given."""
        return self._initial(name, seed, ())

    def _initial(self, name: str, seed: int, above: tuple[str, ...]) -> nn.Module:
        spec, other = self.specs[name], partial(self._other, above=(*above, name))
        workshop = Workshop(task=self.task, objects=self.objects, other=other, rows=self._rows)
        return own_form(spec).initial(spec, workshop, seed=seed, path=f"models.{name}")

    def _other(self, name: str, above: tuple[str, ...]) -> nn.Module:
        """A model that the last of those above begins from."""
        path = f"models.{above[-1]}"
        if name not in self.names:
            raise RecipeError(f"{path}: no model {name!r} with weights of its own.{suggest(name, self.names)}")
        if name in above:
            raise RecipeError(f"{path} needs itself: {' -> '.join((*above, name))}")
        if trains_together(self.specs[name].get("train")):
            raise RecipeError(f"{path}: {name} trains together with the student, so nothing can begin from it")
        if self.classes(name) is not None:
            raise RecipeError(f"{path}: {name} knows other classes than the data; a model from it would too")
        return self._initial(name, 0, above) if self._taught is None else self._taught(name)

    def _rows(self, name: str) -> Iterator[Mapping[str, Tensor]]:
        if self._taught is not None:
            batch = self.task.sample(_sampled)
            inputs = at({"batch": batch}, self.specs[name]["inputs"])
            for start in range(0, len(batch["target"]), _at_once):
                yield map_tensors(inputs, Tensor.__getitem__, slice(start, start + _at_once))

    def learners(self, lesson: Lesson, seed: int, teachers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        """The learners of a lesson before training, by name on the board.

        Args:
            lesson: which they learn in.
            seed: of their initial weights.
            teachers: those with weights of their own that the lesson needs, by name.
        """
        found = {
            # Two of one architecture begin apart: from equal weights they had nothing to tell each other.
            name: self.initial(section, seed if name == "student" else _apart(seed, name))
            for name, section in lesson.learners.items()
        }
        if lesson.bare:
            return found
        for teacher in teachers.values():
            # Where weights are tied to it, they are the student's too: nobody trains them.
            teacher.requires_grad_(False)
        bench = Bench(task=self.task, models={**teachers, **found})
        return {name: self._worn(lesson.learners[name], model, bench, seed) for name, model in found.items()}

    def _worn(self, name: str, model: nn.Module, bench: Bench, seed: int) -> nn.Module:
        spec = self.specs[name]
        kind = equipment_of(spec)
        if kind is None:
            return model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_apart(seed, kind.key))
            return kind.put_on(model, spec, bench, f"models.{name}")

    def trained(self, name: str, weights: Mapping[str, Tensor]) -> nn.Module:
        """The same model with these weights."""
        model = self.initial(name, 0)
        model.load_state_dict(weights)
        return model

    def classes(self, name: str) -> Sequence[str] | None:
        """What the logits of a model stand for, where it is not the classes of the task in their order."""
        names = own_form(self.specs[name]).classes(self.specs[name], f"models.{name}")
        return None if names is None or list(names) == list(self.task.classes) else names

    def for_task(self, name: str, model: nn.Module) -> nn.Module:
        """A model of this section as one that has logits for the classes of the task."""
        names = self.classes(name)
        return model if names is None else AllClasses(model, names, self.task.classes)

    def shipped(
        self, name: str, weights: Mapping[str, Tensor], teachers: Mapping[str, nn.Module]
    ) -> dict[str, nn.Module]:
        """What there is to ship of a learner with these weights: the whole under ``""``, and parts of it by name."""
        spec = self.specs[name]
        kind = equipment_of(spec)
        if kind is None:
            return {"": self.trained(name, weights)}
        bench = Bench(task=self.task, models=teachers)
        return kind.shipped(self.initial(name, 0), weights, spec, bench, f"models.{name}")

    def architecture(self, name: str, part: str | None = None) -> Mapping[str, Any] | None:
        """What builds a model again, or a part of it as `shipped` calls it; None if no section does."""
        spec = self.specs[name]
        base = own_form(spec).architecture(spec, f"models.{name}")
        kind = equipment_of(spec)
        if base is None or part is None or kind is None:
            return base
        beside = kind.describe(part, spec, {other: self.architecture(other) for other in kind.needs(spec)})
        return None if beside is None else {**base, **beside}

    def identity(self, name: str, *, without_equipment: bool = False) -> dict[str, Any]:
        """What decides the initial weights of a model, beside the seed."""
        spec = bare(self.specs[name]) if without_equipment else self.specs[name]
        known = initial_key(spec)
        if own_form(spec).is_drawn(spec):
            return known
        found = {**known, "weights": _fingerprint(self.initial(name, 0))}
        names = self.classes(name)
        return found if names is None else {**found, "classes": list(names)}

    def key(self, name: str) -> str:
        """The key of a model that is taken as it comes."""
        return canonical_hash(self.identity(name))


def _fingerprint(model: nn.Module) -> str:
    digest = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _apart(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4])
