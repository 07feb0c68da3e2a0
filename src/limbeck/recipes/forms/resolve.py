"""From what a recipe says of a model to its form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.core.addresses import check_name
from limbeck.errors import LimbeckError, RecipeError
from limbeck.recipes.equipment import resolve_equipment, take_equipment
from limbeck.recipes.forms.form import Form, OwnWeights, Section, forms
from limbeck.recipes.forms.given import OBJECT
from limbeck.recipes.forms.outfit import OUTFIT, resolve_outfit
from limbeck.recipes.reading import READING_OPTIONS
from limbeck.recipes.together import trains_together
from limbeck.tasks import Task

__all__ = ["resolve_model"]

# Files of a run, rows of its table, and the batch on the board.
_taken = ("batch", "control", "exported", "int8")


def resolve_model(name: str, spec: Any, task: type[Task], is_object: bool) -> dict[str, Any]:
    """A section under ``models`` with every default written out.

    Args:
        name: of the section.
        spec: what the recipe says.
        task: which one the recipe is for.
        is_object: whether a real object stands for it.

    Raises:
        RecipeError: with the place in the recipe.
    """
    _check_name(name)
    path = f"models.{name}"
    if isinstance(spec, str):
        spec = {"use": spec}
    if not isinstance(spec, Mapping):
        raise RecipeError(f"{path} is {spec!r}; write {{use: NAME}} with its options")
    spec = dict(spec)
    worn = resolve_equipment(name, take_equipment(spec), path)
    section = _section(name, spec, task, path)
    if is_object:
        return {**forms()[OBJECT].resolve(section), **_outfit(section, forms()[OBJECT]), **worn}
    if OBJECT in spec:
        raise RecipeError(
            f"{path}: this model was given in Python; give it again: limbeck.run(…, models={{{name!r}: …}})"
        )
    said = [key for key in forms() if key in section.options]
    if len(said) != 1:
        known = ", ".join(key for key in forms() if key != OBJECT)
        raise RecipeError(f"{path} has the keys {list(section.options)}; it must have one of {known}")
    return {**forms()[said[0]].resolve(section), **_outfit(section, forms()[said[0]]), **worn}


def _outfit(section: Section, form: Form) -> dict[str, Any]:
    """What a teacher has beside its form, where its form allows it."""
    learns = section.name == "student" or trains_together(section.train)
    for option in section.outfit:
        if learns:
            raise RecipeError(f"{section.path}.{option} is for teachers, and this model learns with the student")
        if option != "confidence" and not isinstance(form, OwnWeights):
            raise RecipeError(f"{section.path}.{option}: give it to the models that this one is made of")
    if "classes" in section.outfit and "use" in section.options and not _is_taken(section):
        raise RecipeError(
            f"{section.path}.classes: a model that this run trains knows the classes of the data; it is for one with a "
            "checkpoint"
        )
    return dict(section.outfit)


def _is_taken(section: Section) -> bool:
    return section.options.get("checkpoint") is not None and section.train is None and section.objective is None


def _check_name(name: str) -> None:
    try:
        check_name("model", name)
    except LimbeckError as error:
        raise RecipeError(f"models: {error}") from error
    if name in _taken:
        raise RecipeError(f"models.{name}: a run keeps this name for itself; choose another one")


def _section(name: str, spec: Mapping[str, Any], task: type[Task], path: str) -> Section:
    options = dict(spec)
    read = {option: options.pop(option) for option in READING_OPTIONS if option in options}
    outfit = resolve_outfit({option: options.pop(option) for option in OUTFIT if option in options}, path)
    train, objective = options.pop("train", None), options.pop("objective", None)
    for section, given in (("train", train), ("objective", objective)):
        if given is not None and name == "student":
            raise RecipeError(
                f"{path}.{section}: the student learns as the section {section} at the top says; move it there"
            )
    return Section(
        task=task,
        name=name,
        path=path,
        options=options,
        train=train,
        objective=objective,
        reading=read,
        outfit=outfit,
    )
