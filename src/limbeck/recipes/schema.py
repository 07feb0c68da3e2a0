"""What a recipe may say: every section checked, every default written out."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck import registry
from limbeck.data.sources.constructors import row_kinds
from limbeck.errors import ArgumentError, Code, RecipeError, suggest
from limbeck.recipes.adapters import is_tied
from limbeck.recipes.cache_settings import parse_cache
from limbeck.recipes.data_sources import DataSpec, parse_data
from limbeck.recipes.entry_spec import EntrySpec, parse_entry
from limbeck.recipes.exit_macros import expanded
from limbeck.recipes.model_sources import ModelSpec, parse_model
from limbeck.recipes.options import lookup
from limbeck.recipes.recipe import SCHEMA, ExportSettings, MeasureSettings, Recipe
from limbeck.recipes.sections import parse_section, parse_train
from limbeck.recipes.sklearn_models import check_sklearn_sections
from limbeck.recipes.term_spec import parse_objective
from limbeck.tasks import Task
from limbeck.training.settings import Settings

__all__ = ["parse_recipe"]

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
class _Top:
    control: bool = True
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ArgumentError(f"seeds is {self.seeds}; it must be at least 1", path="seeds")


def parse_recipe(recipe: Mapping[str, Any], *, name: str, objects: Collection[str] = ()) -> Recipe:
    """The recipe with every default written out. Parsing the result again changes nothing.

    Args:
        recipe: what `read_recipe` gave.
        name: how the run is called.
        objects: names that real objects stand for: ``data``, and names of models.

    Raises:
        RecipeError: if anything in it cannot be right; the message says where.
    """
    _check_top(recipe)
    task: type[Task] = registry.lookup("task", recipe["task"])
    data = parse_data(_mapping(recipe, "data"), task, "data" in objects)
    models, train = _models(recipe, task, objects, data), parse_train(_mapping(recipe, "train"), "train")
    student = models["student"]
    _check_last(train, student)
    objective = expanded(_mapping(recipe, "objective"), student.adapter_options)
    top = parse_section(_Top, {k: recipe[k] for k in ("control", "seeds") if k in recipe}, "")
    parsed = Recipe(
        name=name,
        task=recipe["task"],
        data=data,
        models=models,
        objective=parse_objective(objective, "objective", task.mask_address, task.main_output),
        balance=_optional_entry("balance", recipe.get("balance")),
        cache=parse_cache(recipe.get("cache")),
        train=train,
        protocol=_optional_entry("protocol", recipe.get("protocol")),
        compress=_compress(recipe.get("compress")),
        control=top.control,
        seeds=top.seeds,
        measure=_measure(_mapping(recipe, "measure")),
        export=_export(_mapping(recipe, "export"), student, task),
    )
    check_sklearn_sections(parsed)
    return parsed


def _optional_entry(kind: str, section: Any) -> EntrySpec | None:
    return None if section is None else parse_entry([kind], section, kind)


def _compress(steps: Any) -> list[EntrySpec]:
    if steps is None:
        return []
    if not isinstance(steps, list):
        raise RecipeError(
            f"compress is {steps!r}; write a list of steps, as in compress: [{{use: NAME}}]",
            code="wrong_type",
            path="compress",
        )
    return [parse_entry(["compressor"], step, f"compress[{number}]") for number, step in enumerate(steps)]


def _measure(given: Mapping[str, Any]) -> MeasureSettings:
    settings = parse_section(MeasureSettings, given, "measure")
    for number, name in enumerate(settings.metrics or ()):
        lookup(["metric"], name, f"measure.metrics[{number}]")
    return settings


def _check_last(train: Settings, student: ModelSpec) -> None:
    if train.finetune is not None and student.adapter is not None and not student.adapter.may_finetune:
        raise RecipeError.at(
            "train.finetune",
            f"the last stage trains the student alone, without its {student.adapter.key}; remove one of the two",
            code="conflict",
        )


def _check_top(recipe: Mapping[str, Any]) -> None:
    for section in recipe:
        if section not in _sections:
            raise RecipeError(
                f"a recipe has no section {section!r}.{suggest(str(section), _sections)}",
                code="unknown_name",
                path=str(section),
            )
    if recipe.get("schema") != SCHEMA or isinstance(recipe.get("schema"), bool):
        raise RecipeError(
            f"schema is {recipe.get('schema')!r}; this version reads recipes that say schema: {SCHEMA}",
            code="missing" if "schema" not in recipe else "changed" if type(recipe["schema"]) is int else "wrong_type",
            path="schema",
        )
    if recipe.get("task") not in registry.names("task"):
        raise RecipeError(
            f"no task {recipe.get('task')!r}.{suggest(str(recipe.get('task')), registry.names('task'))}",
            code=_code_of_task(recipe.get("task")),
            path="task",
        )
    if not recipe.get("objective"):
        raise RecipeError(
            "objective has no term; give at least one, as in `hard: {loss: cross_entropy}`",
            code="missing",
            path="objective",
        )


def _code_of_task(task: Any) -> Code:
    if task is None:
        return "missing"
    return "unknown_name" if isinstance(task, str) else "wrong_type"


def _mapping(recipe: Mapping[str, Any], section: str) -> dict[str, Any]:
    value = recipe.get(section)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RecipeError(
            f"{section} is {value!r}; it must be a section with keys of its own", code="wrong_type", path=section
        )
    return dict(value)


def _export(given: Mapping[str, Any], student: ModelSpec, task: type[Task]) -> ExportSettings:
    settings = parse_section(ExportSettings, {"formats": list(task.delivery.formats[:1]), **given}, "export")
    if settings.formats and not task.delivery.formats:
        raise RecipeError.at(
            "export.formats",
            "this task exports nothing; its student goes on in another recipe, from the folder "
            "models/student of the run",
            code="unsupported",
        )
    for name in settings.formats:
        if name not in task.delivery.formats:
            raise RecipeError.at(
                "export.formats",
                f"this task is not exported as {name}; choose from {', '.join(task.delivery.formats)}",
                code="unsupported",
            )
    known = student.adapter_options.get("exits", {})
    for exit_name in settings.exits:
        if exit_name not in known:
            raise RecipeError.at(
                "export.exits",
                f"the student has no exit {exit_name!r}.{suggest(exit_name, known)}",
                code="unknown_name",
            )
    return settings


def _models(
    recipe: Mapping[str, Any], task: type[Task], objects: Collection[str], data: DataSpec
) -> dict[str, ModelSpec]:
    models = _mapping(recipe, "models")
    for name in ("teacher", "student"):
        if name in recipe:
            if name in models:
                raise RecipeError(
                    f"{name} stands at the top and under models; keep one of them", code="conflict", path=name
                )
            models[name] = recipe[name]
    for name in objects:
        if name != "data":
            models.setdefault(name, {})
    if "student" not in models:
        raise RecipeError(
            "models has no 'student': the model to train; give one, as in student: {use: resnet, width: 8}",
            code="missing",
            path="models.student",
        )
    kinds = () if data.is_object else row_kinds(task.row_type, data.source)
    parsed = {name: parse_model(name, spec, task, name in objects, kinds) for name, spec in models.items()}
    _check_adapter(parsed)
    _check_apart([spec for spec in parsed.values() if spec.train is not None])
    return parsed


def _check_adapter(models: Mapping[str, ModelSpec]) -> None:
    student = models["student"]
    for other, place in student.adapter_needs():
        if not is_tied(student) and other in models and models[other].co_training is not None:
            raise RecipeError.at(
                f"{place}.teacher",
                f"{other!r} trains together with the student, and what is taken of it stays as it "
                "begins; name a teacher that is ready",
                code="unsupported",
            )
    for name in student.adapter_options.get("exits", {}):
        if f"student_{name}" in models:
            raise RecipeError.at(
                f"models.student_{name}",
                f"this is how the student's exit {name!r} is called; rename one",
                code="in_use",
            )


def _check_apart(trained: Sequence[ModelSpec]) -> None:
    for one, other in itertools.combinations(trained, 2):
        if one.to_dict() == other.to_dict():
            raise RecipeError(
                f"{one.path} and {other.path} are one model trained in one way; give one of them another train.seed",
                code="duplicate",
                path=other.path,
            )
