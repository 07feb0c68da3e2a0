"""Parses the sections under ``models``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from limbeck import registry
from limbeck.core.addresses import check_name
from limbeck.errors import LimbeckError, RecipeError, suggest
from limbeck.recipes.adapters import parse_adapter, take_adapter_options
from limbeck.recipes.co_training import is_co_trained
from limbeck.recipes.model_io import IO_OPTIONS
from limbeck.recipes.model_sources.from_object import OBJECT
from limbeck.recipes.model_sources.model_source import ModelSource, model_sources
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.model_sources.teacher_wrappers import WRAPPER_OPTIONS, resolve_wrappers
from limbeck.tasks import Task

__all__ = ["RESERVED", "parse_model"]

RESERVED = ("batch", "control", "exported", "int8")
"""Names of files of a run, of rows of its table, and of the batch on the board."""


def parse_model(name: str, spec: Any, task: type[Task], is_object: bool, row_kinds: Collection[str] = ()) -> ModelSpec:
    """A section under ``models`` with every default written out.

    Args:
        name: of the section.
        spec: the section.
        task: which one the recipe is for.
        is_object: whether a real object stands for it.
        row_kinds: the kinds of the rows of the data, such as ``tables``; none where they are given in Python.

    Raises:
        RecipeError: with the place in the recipe.
    """
    _check_name(name)
    path = f"models.{name}"
    if isinstance(spec, str):
        spec = {"use": spec}
    if not isinstance(spec, Mapping):
        raise RecipeError(
            f"{path} is {spec!r}; write {{use: NAME}} with its options",
            code="missing" if spec is None else "wrong_type",
            path=path,
        )
    spec = dict(spec)
    adapter, adapter_options = parse_adapter(name, take_adapter_options(spec), path)
    section = replace(_section(name, spec, task, path), row_kinds=row_kinds)
    source = _source(section, is_object)
    parsed = source.parse(section)
    _check_wrappers(section, source)
    return replace(parsed, adapter=adapter, adapter_options=adapter_options)


def _source(section: Section, is_object: bool) -> ModelSource:
    """Where the model comes from, by the key of the section."""
    sources = model_sources()
    if is_object:
        return sources[OBJECT]
    if OBJECT in section.options:
        raise RecipeError.at(
            section.path,
            f"this model was given in Python; give it again: limbeck.run(…, models={{{section.name!r}: …}})",
            code="missing",
        )
    keys = [key for key in sources if key in section.options]
    if len(keys) != 1:
        raise _keyless(section, keys, [key for key in sources if key != OBJECT])
    name = section.options.get("use")
    if isinstance(name, str) and name in sources and name not in registry.names("model"):
        raise RecipeError.at(
            section.path,
            f"{name!r} is not the name of a model but a key of its own; write {{{name}: …}} in place of use",
            code="unknown_name",
        )
    return sources[keys[0]]


def _keyless(section: Section, keys: Sequence[str], known: Sequence[str]) -> RecipeError:
    """The error for a section that does not say what it is, or says it twice."""
    near = (suggest(key, known) for key in section.options) if not keys else ()
    meant = next((text for text in near if "Did you mean" in text), "")
    return RecipeError(
        f"{section.path} has the keys {list(section.options)}; it must have one of {', '.join(known)}"
        f"{'.' if meant else ''}{meant}",
        code="conflict" if keys else "missing",
        path=section.path,
    )


def _check_wrappers(section: Section, source: ModelSource) -> None:
    """Refuse wrappers for models that learn with the student, and where the source does not allow them."""
    learns = section.name == "student" or is_co_trained(section.train)
    for option in section.wrappers:
        if learns:
            raise RecipeError(
                f"{section.path}.{option} is for teachers, and this model learns with the student",
                code="unsupported",
                path=f"{section.path}.{option}",
            )
        if option != "confidence" and not source.has_weights:
            raise RecipeError.at(
                f"{section.path}.{option}", "give it to the models that this one is made of", code="unsupported"
            )
    if "classes" in section.wrappers and "use" in section.options and not _is_taken(section):
        raise RecipeError.at(
            f"{section.path}.classes",
            "a model that this run trains knows the classes of the data; it is for one with a checkpoint",
            code="unsupported",
        )


def _is_taken(section: Section) -> bool:
    return section.options.get("checkpoint") is not None and section.train is None and section.objective is None


def _check_name(name: str) -> None:
    try:
        check_name("model", name)
    except LimbeckError as error:
        raise RecipeError(f"models: {error}", code=error.code, path=f"models.{name}") from error
    if name in RESERVED:
        raise RecipeError.at(f"models.{name}", "a run keeps this name for itself; choose another one", code="in_use")


def _section(name: str, spec: Mapping[str, Any], task: type[Task], path: str) -> Section:
    options = dict(spec)
    read = {option: options.pop(option) for option in IO_OPTIONS if option in options}
    wrappers = resolve_wrappers({option: options.pop(option) for option in WRAPPER_OPTIONS if option in options}, path)
    train, objective = options.pop("train", None), options.pop("objective", None)
    for section, given in (("train", train), ("objective", objective)):
        if given is not None and name == "student":
            raise RecipeError.at(
                f"{path}.{section}",
                f"the student learns as the section {section} at the top says; move it there",
                code="conflict",
            )
    return Section(
        task=task,
        name=name,
        path=path,
        options=options,
        train=train,
        objective=objective,
        reading=read,
        wrappers=wrappers,
    )
