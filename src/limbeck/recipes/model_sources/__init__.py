"""Where the models of a recipe come from, one file for each.

Teachers without weights of their own describe themselves, as `FromTeacher` says. A source of models is a subclass of
`WeightedModel` in a file of its own, and stands in the line below.
"""

from limbeck.recipes.model_sources.ensemble import FromMembers
from limbeck.recipes.model_sources.from_object import FromObject
from limbeck.recipes.model_sources.from_registry import FromRegistry
from limbeck.recipes.model_sources.from_run import FromRun
from limbeck.recipes.model_sources.from_teacher import registered_teachers
from limbeck.recipes.model_sources.model_source import (
    ModelContext,
    ModelSource,
    TeacherContext,
    WeightedModel,
    add_finder,
    add_model_sources,
    base_teacher,
    model_sources,
)
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.parse import parse_model
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.model_sources.shrunk import FromShrink

__all__ = [
    "ModelContext",
    "ModelSource",
    "ModelSpec",
    "Section",
    "TeacherContext",
    "WeightedModel",
    "base_teacher",
    "model_sources",
    "parse_model",
]

add_model_sources(
    FromRegistry(),
    FromRun(),
    FromMembers(),
    FromShrink(),
    FromObject(),
)
add_finder(registered_teachers)
