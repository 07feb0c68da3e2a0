"""The forms that a model of a recipe may have, one file for each.

A new form is a subclass of `ModelSource`, or of `WeightedModel`, in a file of its own, and stands in the line below.
"""

from limbeck.recipes.model_sources.dynamic import FromDynamic
from limbeck.recipes.model_sources.ema import FromEMA
from limbeck.recipes.model_sources.ensemble import FromMembers
from limbeck.recipes.model_sources.from_object import FromObject
from limbeck.recipes.model_sources.from_registry import FromRegistry
from limbeck.recipes.model_sources.from_run import FromRun
from limbeck.recipes.model_sources.from_teacher import registered_teachers
from limbeck.recipes.model_sources.model_source import (
    ModelContext,
    ModelSource,
    Section,
    TeacherContext,
    WeightedModel,
    add_finder,
    add_model_sources,
    base_teacher,
    has_weights,
    model_source_of,
    model_sources,
    weighted_model_of,
)
from limbeck.recipes.model_sources.peers import FromPeers
from limbeck.recipes.model_sources.random import FromRandom
from limbeck.recipes.model_sources.resolve import resolve_model
from limbeck.recipes.model_sources.shrunk import FromShrink
from limbeck.recipes.model_sources.teacher_free import FromTeacherFree

__all__ = [
    "ModelContext",
    "ModelSource",
    "Section",
    "TeacherContext",
    "WeightedModel",
    "base_teacher",
    "has_weights",
    "model_source_of",
    "model_sources",
    "resolve_model",
    "weighted_model_of",
]

add_model_sources(
    FromRegistry(),
    FromRun(),
    FromMembers(),
    FromEMA(),
    FromRandom(),
    FromPeers(),
    FromTeacherFree(),
    FromDynamic(),
    FromShrink(),
    FromObject(),
)
add_finder(registered_teachers)
