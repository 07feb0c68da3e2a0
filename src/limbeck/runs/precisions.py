"""The precisions that a run has chosen, in its recipe: another run of that takes the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.runs.plan import teacher_stage

__all__ = ["with_precisions"]


def with_precisions(recipe: Mapping[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    """The recipe with what was chosen in the place of ``precision: auto``.

    Args:
        recipe: resolved.
        chosen: ``float32`` or ``bfloat16`` by the name of the stage.

    >>> with_precisions({"train": {"precision": "auto"}, "models": {}}, {"student": "float32"})
    {'train': {'precision': 'float32'}, 'models': {}}
    """
    models = {
        name: {**spec, "train": _settled(spec["train"], chosen.get(teacher_stage(name)))} if spec.get("train") else spec
        for name, spec in recipe["models"].items()
    }
    return {**recipe, "train": _settled(recipe["train"], chosen.get("student")), "models": models}


def _settled(train: Any, precision: str | None) -> Any:
    if precision is None or not isinstance(train, Mapping) or train.get("precision") != "auto":
        return train
    return {**train, "precision": precision}
