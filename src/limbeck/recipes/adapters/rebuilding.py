"""Rebuilds a shipped part of a student from the section that is stored with its weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from limbeck.recipes.adapters.adapter import Spec
from limbeck.recipes.adapters.exits import with_exits
from limbeck.recipes.adapters.reuse import reusing
from limbeck.tasks import Task

__all__ = ["rebuilt"]


def rebuilt(model: nn.Module, spec: Spec, build: Callable[[Spec], nn.Module], task: Task, path: str) -> nn.Module:
    """The part of the base model that the section describes, before its weights are loaded.

    Args:
        model: the base model.
        spec: the base model's section and the keys that `Adapter.describe` gave.
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
