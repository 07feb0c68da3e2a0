"""The addresses at which models find what they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from limbeck.runs.models import Models
from limbeck.tasks import Task

__all__ = ["alone", "with_inputs"]

_first = "batch.inputs"


def with_inputs(recipe: Mapping[str, Any], task: Task, objects: Mapping[str, nn.Module]) -> tuple[dict[str, Any], Task]:
    """The recipe with the address of every model that does not read what the student reads, and the task that fills it.

    Raises:
        LimbeckError: if a model cannot be built, or cannot read the data.
    """
    found = Models(recipe, task, objects)

    def built() -> dict[str, nn.Module]:
        names = sorted(found.names, key=lambda name: name != "student")
        return {name: found.initial(name, recipe["train"]["seed"]) for name in names}

    bound, addresses = task.reading(built)
    models = {
        name: {**spec, "inputs": addresses[name]} if name in addresses and spec["inputs"] == _first else spec
        for name, spec in recipe["models"].items()
    }
    return {**recipe, "models": models}, bound


def alone(recipe: Mapping[str, Any], task: Task, name: str) -> tuple[dict[str, Any], Task]:
    """The recipe and the task for one of its models by itself: batches that no other model has a part in."""
    inputs = recipe["models"][name]["inputs"]
    bound, address = task.alone(inputs)
    models = {
        other: {**spec, "inputs": address} if spec.get("inputs") == inputs else spec
        for other, spec in recipe["models"].items()
    }
    return {**recipe, "models": models}, bound
