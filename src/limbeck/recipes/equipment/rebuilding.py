"""A shipped part of a student, built again from what stands beside its weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from limbeck.recipes.equipment.equipment import Spec
from limbeck.recipes.equipment.exits import with_exits
from limbeck.recipes.equipment.reuse import reusing
from limbeck.tasks import Task

__all__ = ["rebuilt"]


def rebuilt(model: nn.Module, spec: Spec, build: Callable[[Spec], nn.Module], task: Task, path: str) -> nn.Module:
    """The part that the section describes, of its bare model, before weights are loaded.

    Args:
        model: bare.
        spec: what `Equipment.describe` said, beside the bare model's section.
        build: builds a model from its section.
        task: with the data loaded.
        path: for errors.
    """
    if "exit" in spec:
        return with_exits(model, spec, task.example["inputs"], path).cut(spec["exit"])
    # In a recipe it is the name of a model.
    if "reuse" in spec and not isinstance(spec["reuse"]["teacher"], str):
        return reusing(model, build(spec["reuse"]["teacher"]), spec["reuse"], task.example["inputs"], f"{path}.reuse")
    return model
