"""The addresses at which models find what they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from limbeck.recipes.model_sources import ModelSpec
from limbeck.recipes.recipe import Recipe
from limbeck.runs.models import Models
from limbeck.tasks import Task

__all__ = ["alone", "with_inputs"]

_first = "batch.inputs"


def with_inputs(recipe: Recipe, task: Task, objects: Mapping[str, nn.Module]) -> tuple[Recipe, Task]:
    """The recipe with the address of every model that does not read what the student reads, and the task that fills it.

    Raises:
        LimbeckError: if a model cannot be built, or cannot read the data.
    """
    found = Models(recipe.models, task, objects)

    def built() -> dict[str, nn.Module]:
        names = sorted(found.names, key=lambda name: name != "student")
        return {name: found.initial(name, recipe.train.seed) for name in names}

    bound, addresses = task.reading(built)
    models = {
        name: spec.with_io(inputs=addresses[name]) if name in addresses and spec.reads(_first) else spec
        for name, spec in recipe.models.items()
    }
    return replace(recipe, models=models), bound


def alone(specs: Mapping[str, ModelSpec], task: Task, name: str) -> tuple[dict[str, ModelSpec], Task]:
    """The sections and the task for one of the models by itself: batches that no other model has a part in."""
    inputs = specs[name].inputs
    bound, address = task.alone(inputs)
    found = {other: spec.with_io(inputs=address) if spec.reads(inputs) else spec for other, spec in specs.items()}
    return found, bound
