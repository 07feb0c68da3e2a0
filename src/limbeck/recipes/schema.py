"""What a recipe may say: every section checked, every default written out."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from limbeck import registry
from limbeck.errors import ArgumentError, RecipeError, suggest
from limbeck.recipes.caching.settings import resolve_cache
from limbeck.recipes.equipment import equipment_of, is_tied, needed
from limbeck.recipes.fitted import check_fitted
from limbeck.recipes.forms import resolve_model
from limbeck.recipes.groups import expanded
from limbeck.recipes.options import option_types, resolve_use
from limbeck.recipes.sections import resolve_section, resolve_train
from limbeck.recipes.terms import resolve_objective
from limbeck.recipes.together import trains_together
from limbeck.tasks import Task

__all__ = ["ExportSettings", "MeasureSettings", "resolve"]

_schema = 1
_sections = (
    "schema",
    "name",
    "task",
    "data",
    "models",
    "teacher",
    "student",
    "objective",
    "balance",
    "cache",
    "train",
    "control",
    "seeds",
    "measure",
    "export",
)


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """``measure:``. ``draws``: of the bootstrap over the test rows."""

    draws: int = 2000

    def __post_init__(self) -> None:
        if self.draws < 100:
            raise ArgumentError(f"draws is {self.draws}; a 95% interval needs at least 100")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """``export:``. ``tolerance``: the largest difference between a logit of the file and of the model.

    ``formats``: ``onnx``, and ``int8`` for a second file with weights in 8 bits.
    ``exits``: those of the student that are exported too, each as a model that ends there.
    """

    formats: tuple[Literal["onnx", "int8"], ...] = ("onnx",)
    tolerance: float = 1e-4
    exits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "int8" in self.formats and "onnx" not in self.formats:
            raise ArgumentError("formats has int8 without onnx, from which it is made; write [onnx, int8]")
        if not self.tolerance > 0:
            raise ArgumentError(f"tolerance is {self.tolerance}; it must be above 0")


@dataclass(frozen=True, kw_only=True)
class _Top:
    control: bool = True
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ArgumentError(f"seeds is {self.seeds}; it must be at least 1")


def resolve(recipe: Mapping[str, Any], *, name: str, objects: Collection[str] = ()) -> dict[str, Any]:
    """The recipe with every default written out. Resolving the result again changes nothing.

    Args:
        recipe: what `read_recipe` gave.
        name: how the run is called.
        objects: names that real objects stand for: ``data``, and names of models.

    Raises:
        RecipeError: if anything in it cannot be right; the message says where.
    """
    _check_top(recipe)
    task: type[Task] = registry.lookup("task", recipe["task"])
    data = _data(_mapping(recipe, "data"), task, "data" in objects)
    models, train = _models(recipe, task, objects), resolve_train(_mapping(recipe, "train"), "train")
    _check_last(train, models["student"])
    objective = expanded(_mapping(recipe, "objective"), models["student"])
    top = resolve_section(_Top, {k: recipe[k] for k in ("control", "seeds") if k in recipe}, "recipe")
    resolved = {
        "schema": _schema,
        "name": name,
        "task": recipe["task"],
        "data": data,
        "models": models,
        "objective": resolve_objective(objective, "objective", task.counted),
        "balance": None if recipe.get("balance") is None else resolve_use(["balance"], recipe["balance"], "balance"),
        "cache": resolve_cache(recipe.get("cache")),
        "train": train,
        **top,
        "measure": resolve_section(MeasureSettings, _mapping(recipe, "measure"), "measure"),
        "export": _export(_mapping(recipe, "export"), models["student"], task),
    }
    check_fitted(resolved)
    return resolved


def _check_last(train: Mapping[str, Any], student: Mapping[str, Any]) -> None:
    worn = equipment_of(student)
    if train["finetune"] is not None and worn is not None and not worn.may_finetune:
        raise RecipeError(
            f"train.finetune: the last stage trains the student alone, without its {worn.key}; leave one of the two out"
        )


def _check_top(recipe: Mapping[str, Any]) -> None:
    for section in recipe:
        if section not in _sections:
            raise RecipeError(f"a recipe has no section {section!r}.{suggest(str(section), _sections)}")
    if recipe.get("schema") != _schema or isinstance(recipe.get("schema"), bool):
        raise RecipeError(f"schema is {recipe.get('schema')!r}; this version reads recipes that say schema: {_schema}")
    if recipe.get("task") not in registry.names("task"):
        raise RecipeError(f"no task {recipe.get('task')!r}.{suggest(str(recipe.get('task')), registry.names('task'))}")
    if not recipe.get("objective"):
        raise RecipeError("objective has no term; give at least one, as in `hard: {loss: cross_entropy}`")


def _mapping(recipe: Mapping[str, Any], section: str) -> dict[str, Any]:
    value = recipe.get(section)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RecipeError(f"{section} is {value!r}; it must be a section with keys of its own")
    return dict(value)


def _export(given: Mapping[str, Any], student: Mapping[str, Any], task: type[Task]) -> dict[str, Any]:
    settings = resolve_section(ExportSettings, {"formats": list(task.formats[:1]), **given}, "export")
    if settings["formats"] and not task.formats:
        raise RecipeError(
            "export.formats: this task exports nothing; its student goes on in another recipe, from the folder "
            "models/student of the run"
        )
    known = student.get("exits", {})
    for name in settings["exits"]:
        if name not in known:
            raise RecipeError(f"export.exits: the student has no exit {name!r}.{suggest(name, known)}")
    return settings


def _data(given: dict[str, Any], task: type[Task], is_object: bool) -> dict[str, Any]:
    own = option_types(task.Settings)
    settings = resolve_section(
        task.Settings, {option: given.pop(option) for option in list(given) if option in own}, "data"
    )
    for section, entry in task.sections.items():
        if settings[section] is not None:
            settings[section] = resolve_section(entry, settings[section], f"data.{section}")
    for other in ("unlabelled", "test_from"):
        if settings.get(other) is not None:
            settings[other] = resolve_use(task.sources, settings[other], f"data.{other}")
    if {"use": "object", **given} == {"use": "object"}:
        if is_object:
            return {"use": "object", **settings}
        if given:
            raise RecipeError("data: this run had its data from Python; give it again, as in limbeck.run(…, data=…)")
        raise RecipeError("data names no source; give data: {use: NAME}, as in data: {use: digits}")
    source = resolve_use(task.sources, given, "data", beside=own)
    return {**({"use": "object"} if is_object else source), **settings}


def _models(recipe: Mapping[str, Any], task: type[Task], objects: Collection[str]) -> dict[str, Any]:
    models = _mapping(recipe, "models")
    for name in ("teacher", "student"):
        if name in recipe:
            if name in models:
                raise RecipeError(f"{name} stands at the top and under models; keep one of them")
            models[name] = recipe[name]
    for name in objects:
        if name != "data":
            models.setdefault(name, {})
    if "student" not in models:
        raise RecipeError(
            "models has no 'student': the model to train; give one, as in student: {use: resnet, width: 8}"
        )
    resolved = {name: resolve_model(name, spec, task, name in objects) for name, spec in models.items()}
    _check_equipment(resolved)
    alone = {name: spec for name, spec in resolved.items() if not trains_together(spec.get("train"))}
    _check_apart({name: spec for name, spec in alone.items() if spec.get("train") is not None})
    return resolved


def _check_equipment(resolved: Mapping[str, Mapping[str, Any]]) -> None:
    student = resolved["student"]
    for other, place in needed("student", student):
        if not is_tied(student) and other in resolved and trains_together(resolved[other].get("train")):
            raise RecipeError(
                f"{place}.teacher: {other!r} trains together with the student, and what is taken of it stays as it "
                "begins; name a teacher that is ready"
            )
    for name in student.get("exits", {}):
        if f"student_{name}" in resolved:
            raise RecipeError(f"models.student_{name}: this is how the student's exit {name!r} is called; rename one")


def _check_apart(trained: Mapping[str, Mapping[str, Any]]) -> None:
    for (one, first), (other, second) in itertools.combinations(trained.items(), 2):
        if first == second:
            raise RecipeError(
                f"models.{one} and models.{other} are one model trained in one way; give one of them another train.seed"
            )
