"""Rebuilds a shipped part of a student from the section that is stored with its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from limbeck.recipes.adapters.exits import with_exits
from limbeck.recipes.adapters.reuse import reusing
from limbeck.tasks import Task

__all__ = ["REBUILDING_OPTIONS", "rebuilt"]

# The keys that `Adapter.describe` gives.
REBUILDING_OPTIONS = ("exits", "features", "exit", "reuse")


def rebuilt(
    model: nn.Module,
    section: Mapping[str, Any],
    build: Callable[[Mapping[str, Any]], nn.Module],
    task: Task,
    path: str,
) -> nn.Module:
    """The part of the base model that the section describes, before its weights are loaded.

    Args:
        model: the base model.
        section: that of the base model with the keys that `Adapter.describe` gave.
        build: builds a model from its section.
        task: with the data loaded.
        path: for errors.
    """
    if "exit" in section:
        return with_exits(model, section, task.example["inputs"], path).cut(section["exit"])
    if "reuse" in section:
        reuse = section["reuse"]
        return reusing(model, build(reuse["teacher"]), reuse, task.example["inputs"], f"{path}.reuse")
    return model
