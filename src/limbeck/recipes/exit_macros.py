"""Terms that a recipe asks for by one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.errors import RecipeError, suggest
from limbeck.models import exit_sections
from limbeck.recipes.options import construct, resolve_options

__all__ = ["expanded"]

Spec = Mapping[str, Any]


def expanded(objective: Spec, adapter: Spec) -> dict[str, Any]:
    """The objective with ``{terms: own_teacher, …}`` written out: be-your-own-teacher, for the student's exits.

    Args:
        objective: what the recipe says.
        adapter: the options of the student's adapter.

    Raises:
        RecipeError: if there is no such group, its options are wrong, or it has a term of the name of another.
    """
    found: dict[str, Any] = {}
    for name, spec in objective.items():
        is_group = isinstance(spec, Mapping) and "terms" in spec
        for own, term in (_own_teacher(spec, adapter, f"objective.{name}") if is_group else {name: spec}).items():
            if own in found or (own != name and own in objective):
                raise RecipeError.at(
                    f"objective.{name}", f"the objective has another term {own!r}; rename that one", code="duplicate"
                )
            found[own] = term
    return found


def _options(
    *, terms: str, alpha: float = 0.3, features: float = 0.03, temperature: float = 3.0, where: str | None = None
) -> None: ...


def _own_teacher(spec: Spec, adapter: Spec, path: str) -> dict[str, Any]:
    if spec["terms"] != "own_teacher":
        raise RecipeError(
            f"{path}: no terms {spec['terms']!r}.{suggest(str(spec['terms']), ['own_teacher'])}",
            code="unknown_name",
            path=f"{path}.terms",
        )
    if "exits" not in adapter:
        raise RecipeError(
            f"{path}: own_teacher teaches the exits of the student, and it has none; give models.student.exits, as in "
            "{exit1: stage1}, and features, the path of its deepest map",
            code="missing",
            path="models.student.exits",
        )
    options = resolve_options(_options, spec, path=path, name="own_teacher")
    del options["terms"]
    terms: dict[str, Any] = construct(exit_sections, {"exits": list(adapter["exits"]), **options}, path=path)
    return terms
