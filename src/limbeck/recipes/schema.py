"""What a recipe may say: every section checked, every default written out."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from limbeck import registry
from limbeck.errors import ArgumentError, RecipeError, suggest
from limbeck.recipes.adapters import adapter_needs, adapter_of, is_tied
from limbeck.recipes.cache_settings import resolve_cache
from limbeck.recipes.co_training import is_co_trained
from limbeck.recipes.data_sources import resolve_object, resolve_source
from limbeck.recipes.exit_macros import expanded
from limbeck.recipes.model_sources import resolve_model
from limbeck.recipes.options import lookup, option_types, resolve_use
from limbeck.recipes.sections import resolve_section, resolve_train
from limbeck.recipes.sklearn_models import check_sklearn_sections
from limbeck.recipes.terms import resolve_objective
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
    "protocol",
    "compress",
    "control",
    "seeds",
    "measure",
    "export",
)


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """``measure:``.

    ``draws``: of the bootstrap over the test rows.
    ``metrics``: the names of registered metrics, of which the first decides; those of the task if null.
    """

    draws: int = 2000
    metrics: tuple[str, ...] | None = None

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
        "objective": resolve_objective(objective, "objective", task.mask_address, task.main_output),
        "balance": _optional_use("balance", recipe.get("balance")),
        "cache": resolve_cache(recipe.get("cache")),
        "train": train,
        "protocol": _optional_use("protocol", recipe.get("protocol")),
        "compress": _compress(recipe.get("compress")),
        **top,
        "measure": _measure(_mapping(recipe, "measure")),
        "export": _export(_mapping(recipe, "export"), models["student"], task),
    }
    check_sklearn_sections(resolved)
    return resolved


def _optional_use(kind: str, section: Any) -> dict[str, Any] | None:
    return None if section is None else resolve_use([kind], section, kind)


def _compress(steps: Any) -> list[dict[str, Any]]:
    if steps is None:
        return []
    if not isinstance(steps, list):
        raise RecipeError(f"compress is {steps!r}; write a list of steps, as in compress: [{{use: NAME}}]")
    return [resolve_use(["compressor"], step, f"compress[{number}]") for number, step in enumerate(steps)]


def _measure(given: Mapping[str, Any]) -> dict[str, Any]:
    settings = resolve_section(MeasureSettings, given, "measure")
    for number, name in enumerate(settings["metrics"] or ()):
        lookup(["metric"], name, f"measure.metrics[{number}]")
    return settings


def _check_last(train: Mapping[str, Any], student: Mapping[str, Any]) -> None:
    adapter = adapter_of(student)
    if train["finetune"] is not None and adapter is not None and not adapter.may_finetune:
        raise RecipeError(
            f"train.finetune: the last stage trains the student alone, without its {adapter.key}; remove one of the two"
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
    settings = resolve_section(ExportSettings, {"formats": list(task.delivery.formats[:1]), **given}, "export")
    if settings["formats"] and not task.delivery.formats:
        raise RecipeError(
            "export.formats: this task exports nothing; its student goes on in another recipe, from the folder "
            "models/student of the run"
        )
    for name in settings["formats"]:
        if name not in task.delivery.formats:
            raise RecipeError(
                f"export.formats: this task is not exported as {name}; choose from {', '.join(task.delivery.formats)}"
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
            settings[other] = resolve_source(task, settings[other], f"data.{other}")
    if is_object and given.get("use", "object") == "object":
        options = resolve_object(task, given, beside=own) if set(given) - {"use"} else {"use": "object"}
        return {**options, **settings}
    if given.get("use") == "object":
        raise RecipeError("data: this run had its data from Python; give it again, as in limbeck.run(…, data=…)")
    if not given:
        raise RecipeError("data names no source; give data: {use: NAME}, as in data: {use: digits}")
    source = resolve_source(task, given, "data", beside=own)
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
    _check_adapter(resolved)
    alone = {name: spec for name, spec in resolved.items() if not is_co_trained(spec.get("train"))}
    _check_apart({name: spec for name, spec in alone.items() if spec.get("train") is not None})
    return resolved


def _check_adapter(resolved: Mapping[str, Mapping[str, Any]]) -> None:
    student = resolved["student"]
    for other, place in adapter_needs("student", student):
        if not is_tied(student) and other in resolved and is_co_trained(resolved[other].get("train")):
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
