"""The models of a recipe, as they are before a run trains them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import getitem
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core import map_rows, resolve
from limbeck.errors import RecipeError, suggest
from limbeck.files import canonical_hash
from limbeck.recipes.adapters import AdapterContext
from limbeck.recipes.model_sources import ModelContext, ModelSpec
from limbeck.runs.plan import TrainingSpec
from limbeck.tasks import Task

__all__ = ["Models"]

# Rows that tell which coordinates of a hidden state matter, and how many of them pass through a model together.
_sampled = 256
_at_once = 32


class Models:
    """Builds every model that a section under ``models`` describes by itself: not those made of others.

    Args:
        specs: the sections of the recipe, by name.
        task: with the data loaded.
        objects: models that were given as real objects, by name.
    """

    def __init__(self, specs: Mapping[str, ModelSpec], task: Task, objects: Mapping[str, nn.Module]) -> None:
        self.specs = specs
        self.task = task
        self.objects = objects
        self._fingerprints: dict[str, str] = {}
        self._trained: Callable[[str], nn.Module] | None = None

    def with_trained(self, taught: Callable[[str], nn.Module]) -> Models:
        """The same, where a model that begins from another takes the weights that this one has after its training.

        Args:
            taught: gives a model by name, ready to teach.
        """
        found = copy.copy(self)
        found._trained, found._fingerprints = taught, {}
        return found

    @property
    def names(self) -> list[str]:
        """The sections that describe a model with weights of its own."""
        return [name for name, spec in self.specs.items() if spec.has_weights]

    def initial(self, name: str, seed: int) -> nn.Module:
        """A model before training: built, taken from a run or another model, or a copy of the object that was given."""
        return self._initial(name, seed, ())

    def _initial(self, name: str, seed: int, above: tuple[str, ...]) -> nn.Module:
        spec, other = self.specs[name], partial(self._other, above=(*above, name))
        context = ModelContext(task=self.task, objects=self.objects, other=other, rows=self._rows)
        return spec.weighted.initial(spec, context, seed=seed)

    def _other(self, name: str, above: tuple[str, ...]) -> nn.Module:
        """A model that the last of those above begins from."""
        path = f"models.{above[-1]}"
        if name not in self.names:
            raise RecipeError.at(
                path, f"no model {name!r} with weights of its own.{suggest(name, self.names)}", code="unknown_name"
            )
        if name in above:
            raise RecipeError(f"{path} needs itself: {' -> '.join((*above, name))}", code="cycle", path=path)
        if self.specs[name].co_training is not None:
            raise RecipeError.at(
                path, f"{name} trains together with the student, so nothing can begin from it", code="unsupported"
            )
        if self.output_names(name) is not None:
            raise RecipeError.at(
                path, f"{name} knows other classes than the data; a model from it would too", code="unsupported"
            )
        return self._initial(name, 0, above) if self._trained is None else self._trained(name)

    def _rows(self, name: str) -> Iterator[Mapping[str, Tensor]]:
        if self._trained is not None:
            batch = self.task.sample(_sampled)
            inputs = resolve({"batch": batch}, self.specs[name].inputs)
            for start in range(0, len(batch["target"]), _at_once):
                yield map_rows(inputs, getitem, slice(start, start + _at_once))

    def learners(self, training: TrainingSpec, seed: int, teachers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        """The learners of a training before it starts, by name on the board.

        Args:
            training: in which they learn.
            seed: of their initial weights.
            teachers: those with weights of their own that the training needs, by name.
        """
        found = {
            # Two of one architecture begin apart: from equal weights they had nothing to tell each other.
            name: self.initial(section, seed if name == "student" else _derived_seed(seed, name))
            for name, section in training.learners.items()
        }
        if training.without_adapter:
            return found
        for teacher in teachers.values():
            # Where weights are tied to it, they are the student's too: nobody trains them.
            teacher.requires_grad_(False)
        context = AdapterContext(task=self.task, models={**teachers, **found})
        return {name: self._adapted(training.learners[name], model, context, seed) for name, model in found.items()}

    def _adapted(self, name: str, model: nn.Module, context: AdapterContext, seed: int) -> nn.Module:
        spec = self.specs[name]
        if spec.adapter is None:
            return model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_derived_seed(seed, spec.adapter.key))
            return spec.adapter.apply(model, spec, context)

    def trained(self, name: str, weights: Mapping[str, Tensor]) -> nn.Module:
        """The same model with these weights."""
        model = self.initial(name, 0)
        model.load_state_dict(weights)
        return model

    def output_names(self, name: str) -> Sequence[str] | None:
        """The names of the entries of a model's main output, where they are not those of the task in their order."""
        spec = self.specs[name]
        names = spec.weighted.classes(spec)
        return None if names is None or list(names) == list(self.task.names) else names

    def for_task(self, name: str, model: nn.Module) -> nn.Module:
        """A model of this section as one whose main output has the entries of the task."""
        names = self.output_names(name)
        return model if names is None else self.task.with_outputs(model, names)

    def shipped(
        self, name: str, weights: Mapping[str, Tensor], teachers: Mapping[str, nn.Module]
    ) -> dict[str, nn.Module]:
        """What there is to ship of a learner with these weights: the whole under ``""``, and parts of it by name."""
        spec = self.specs[name]
        if spec.adapter is None:
            return {"": self.trained(name, weights)}
        context = AdapterContext(task=self.task, models=teachers)
        return spec.adapter.shipped(self.initial(name, 0), weights, spec, context)

    def architecture(self, name: str, part: str | None = None) -> Mapping[str, Any] | None:
        """What builds a model again, or a part of it as `shipped` calls it; None if no section does."""
        spec = self.specs[name]
        base = spec.weighted.architecture(spec)
        if base is None or part is None or spec.adapter is None:
            return base
        others = {other: self.architecture(other) for other in spec.adapter.needs(spec)}
        beside = spec.adapter.describe(part, spec, others)
        return None if beside is None else {**base, **beside}

    def identity(self, name: str, *, without_adapter: bool = False) -> dict[str, Any]:
        """What decides the initial weights of a model, beside the seed."""
        spec = self.specs[name]
        known = (spec.without_adapter if without_adapter else spec).weights_key
        if spec.weighted.random_init(spec):
            return known
        found = {**known, "weights": self._fingerprint(name)}
        names = self.output_names(name)
        return found if names is None else {**found, "classes": list(names)}

    def _fingerprint(self, name: str) -> str:
        if name not in self._fingerprints:
            self._fingerprints[name] = _fingerprint(self.initial(name, 0))
        return self._fingerprints[name]

    def key(self, name: str) -> str:
        """The key of a model that is taken as it comes."""
        return canonical_hash(self.identity(name))


def _fingerprint(model: nn.Module) -> str:
    digest = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _derived_seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4])
