"""The members of a teacher that is made of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from limbeck.errors import RecipeError
from limbeck.recipes.model_sources.section import Section

__all__ = ["with_weights"]


def with_weights(section: Section, key: str) -> Section:
    """The section with the members by name: a list of names is short for equal weights.

    Raises:
        RecipeError: if it names no members.
    """
    members = section.options[key]
    if isinstance(members, list) and all(isinstance(member, str) for member in members):
        if len(set(members)) < len(members):
            raise RecipeError(
                f"{section.path}.{key} is {members!r}; it names a member twice: give weights instead",
                code="duplicate",
                path=f"{section.path}.{key}",
            )
        members = dict.fromkeys(members, 1.0)
    if not isinstance(members, Mapping):
        raise RecipeError(
            f"{section.path}.{key} is {members!r}; write {{name: weight}}, or a list of names",
            code="missing" if members is None else "wrong_type",
            path=f"{section.path}.{key}",
        )
    return replace(section, options={**section.options, key: members})
