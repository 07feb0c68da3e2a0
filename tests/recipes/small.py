"""A recipe of a second, and changes to it."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

from limbeck.recipes.recipe import Recipe
from limbeck.recipes.schema import parse_recipe

SMALL: dict[str, Any] = {
    "schema": 1,
    "task": "image_classification",
    "data": {"use": "digits", "labels": 100, "augment": {"crop": 1}},
    "models": {
        "teacher": {"use": "mlp", "width": 16, "depth": 1, "train": {"epochs": 1}},
        "student": {"use": "mlp", "width": 8, "depth": 1},
    },
    "objective": {
        "hard": {"loss": "cross_entropy", "weight": 0.5, "where": "batch.labelled"},
        "soft": {"loss": {"use": "kl_divergence", "temperature": 2.0}, "weight": 0.5},
    },
    "train": {"epochs": 1, "precision": "float32"},
    "measure": {"draws": 100, "seconds": 0.01},
    "export": {"formats": []},
}


class _Gone:
    """Marks a key to leave out; its name is the same in every test process."""

    def __repr__(self) -> str:
        return "GONE"


GONE = _Gone()


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """`SMALL` with values put at dotted paths; `GONE` removes one."""
    recipe = copy.deepcopy(SMALL)
    for path, value in changes.items():
        *above, last = path.split(".")
        place = recipe
        for part in above:
            place = place.setdefault(part, {})
        if value is GONE:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return recipe


def parse(changes: Mapping[str, Any] = {}, *, objects: Collection[str] = ()) -> Recipe:
    """`SMALL` with these changes, parsed."""
    return parse_recipe(changed(dict(changes)), name="x", objects=objects)


def resolve(recipe: Mapping[str, Any], *, name: str, objects: Collection[str] = ()) -> dict[str, Any]:
    """A recipe with every default written out."""
    return parse_recipe(recipe, name=name, objects=objects).to_dict()
