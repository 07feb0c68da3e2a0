"""What a recipe may say: every section checked, every default written out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import limbeck.data
import limbeck.losses
import limbeck.students
from limbeck.core.addresses import check_name
from limbeck.errors import ArgumentError, LimbeckError, RecipeError, suggest
from limbeck.recipes.options import construct, option_types, resolve_options, resolve_use
from limbeck.recipes.reading import check_taps
from limbeck.registry import Entry
from limbeck.tasks import DataSettings
from limbeck.training.settings import Settings

__all__ = ["FROM_TASK", "TOGETHER", "ExportSettings", "MeasureSettings", "resolve"]

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
    "train",
    "control",
    "seeds",
    "measure",
    "export",
)
_tasks = ("image_classification",)
FROM_TASK = ("channels", "classes", "size")
# What `train` says of a model that trains together with the student.
TOGETHER = "together"
_reading_options = ("taps", "inputs", "call")
# Files of a run, rows of its table, and the batch on the board.
_taken = ("batch", "control", "exported")


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """``measure:``. ``draws``: of the bootstrap over the test rows."""

    draws: int = 2000

    def __post_init__(self) -> None:
        if self.draws < 100:
            raise ArgumentError(f"draws is {self.draws}; a 95% interval needs at least 100")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """``export:``. ``tolerance``: the largest difference between a logit of the file and of the model."""

    formats: tuple[Literal["onnx"], ...] = ("onnx",)
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise ArgumentError(f"tolerance is {self.tolerance}; it must be above 0")


@dataclass(frozen=True, kw_only=True)
class _Term:
    loss: Any
    inputs: Mapping[str, str] | None = None
    weight: Annotated[float, Entry("schedule")] = 1.0
    where: str | None = None
    scale: str | None = None
    detach: tuple[str, ...] | None = None
    gather: bool = False


@dataclass(frozen=True, kw_only=True)
class _Reading:
    taps: Any = field(default_factory=dict)
    inputs: str = "batch.inputs"
    call: Mapping[str, Any] = field(default_factory=dict)


def _from_run(*, run: str, model: str = "student") -> None: ...


def _from_members(
    *,
    ensemble: dict[str, float],
    mean: Literal["probabilities", "logits"] = "probabilities",
    temperature: float = 1.0,
) -> None: ...


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
    top = _section(_Top, {k: recipe[k] for k in ("control", "seeds") if k in recipe}, "recipe")
    return {
        "schema": _schema,
        "name": name,
        "task": recipe["task"],
        "data": _data(_mapping(recipe, "data"), "data" in objects),
        "models": _models(recipe, objects),
        "objective": _objective(_mapping(recipe, "objective"), "objective"),
        "balance": None if recipe.get("balance") is None else resolve_use(["balance"], recipe["balance"], "balance"),
        "train": _train(_mapping(recipe, "train"), "train"),
        **top,
        "measure": _section(MeasureSettings, _mapping(recipe, "measure"), "measure"),
        "export": _section(ExportSettings, _mapping(recipe, "export"), "export"),
    }


def _check_top(recipe: Mapping[str, Any]) -> None:
    for section in recipe:
        if section not in _sections:
            raise RecipeError(f"a recipe has no section {section!r}.{suggest(str(section), _sections)}")
    if recipe.get("schema") != _schema or isinstance(recipe.get("schema"), bool):
        raise RecipeError(f"schema is {recipe.get('schema')!r}; this version reads recipes that say schema: {_schema}")
    if recipe.get("task") not in _tasks:
        raise RecipeError(f"no task {recipe.get('task')!r}.{suggest(str(recipe.get('task')), _tasks)}")
    if not recipe.get("objective"):
        raise RecipeError("objective has no term; give at least one, as in `hard: {loss: cross_entropy}`")


def _mapping(recipe: Mapping[str, Any], section: str) -> dict[str, Any]:
    value = recipe.get(section)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RecipeError(f"{section} is {value!r}; it must be a section with keys of its own")
    return dict(value)


def _section(settings: Callable[..., Any], given: Mapping[str, Any], path: str) -> dict[str, Any]:
    options = resolve_options(settings, given, path=path, name=path)
    construct(settings, options, path=path)
    return options


def _train(given: Mapping[str, Any], path: str) -> dict[str, Any]:
    options = _section(Settings, given, path)
    changed = options["finetune"]
    if changed is not None:
        if changed.get("finetune") is not None:
            raise RecipeError(f"{path}.finetune.finetune: there is one last stage; remove it")
        if changed.get("seed", options["seed"]) != options["seed"]:
            raise RecipeError(f"{path}.finetune.seed: the last stage has the seed of the stage before; remove it")
        options["finetune"] = _section(Settings, {**options, "finetune": None, **changed}, f"{path}.finetune")
    return options


def _data(given: dict[str, Any], is_object: bool) -> dict[str, Any]:
    own = option_types(DataSettings)
    settings = _section(DataSettings, {option: given.pop(option) for option in list(given) if option in own}, "data")
    if settings["augment"] is not None:
        settings["augment"] = _section(limbeck.data.Augment, settings["augment"], "data.augment")
    for other in ("unlabelled", "test_from"):
        if settings[other] is not None:
            settings[other] = resolve_use(["source"], settings[other], f"data.{other}")
    if {"use": "object", **given} == {"use": "object"}:
        if is_object:
            return {"use": "object", **settings}
        if given:
            raise RecipeError("data: this run had its data from Python; give it again, as in limbeck.run(…, data=…)")
        raise RecipeError("data names no source; give data: {use: NAME}, as in data: {use: digits}")
    source = resolve_use(["source"], given, "data", beside=own)
    return {**({"use": "object"} if is_object else source), **settings}


def _models(recipe: Mapping[str, Any], objects: Collection[str]) -> dict[str, Any]:
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
    resolved = {name: _model(name, spec, name in objects) for name, spec in models.items()}
    _check_apart({name: spec for name, spec in resolved.items() if isinstance(spec.get("train"), Mapping)})
    return resolved


def _check_apart(trained: Mapping[str, Mapping[str, Any]]) -> None:
    for (one, first), (other, second) in itertools.combinations(trained.items(), 2):
        if first == second:
            raise RecipeError(
                f"models.{one} and models.{other} are one model trained in one way; give one of them another train.seed"
            )


def _model(name: str, spec: Any, is_object: bool) -> dict[str, Any]:
    path = f"models.{name}"
    _check_model_name(name)
    if isinstance(spec, str):
        spec = {"use": spec}
    if not isinstance(spec, Mapping):
        raise RecipeError(f"{path} is {spec!r}; write {{use: NAME}} with its options")
    spec = dict(spec)
    reading = {option: spec.pop(option) for option in _reading_options if option in spec}
    reading = resolve_options(_Reading, reading, path=path, name=path)
    check_taps(reading["taps"], f"{path}.taps")
    train, objective = spec.pop("train", None), spec.pop("objective", None)
    for section, given in (("train", train), ("objective", objective)):
        if given is not None and name == "student":
            raise RecipeError(
                f"{path}.{section}: the student learns as the section {section} at the top says; move it there"
            )
    if is_object:
        return {"object": name, **reading}
    kinds = [kind for kind in ("use", "run", "ensemble") if kind in spec]
    if "object" in spec:
        raise RecipeError(
            f"{path}: this model was given in Python; give it again: limbeck.run(…, models={{{name!r}: …}})"
        )
    if len(kinds) != 1:
        raise RecipeError(f"{path} has the keys {list(spec)}; it must have one of use, run, ensemble")
    if kinds == ["use"]:
        return {**_built(name, spec, path), **_learning(name, train, objective, spec, path), **reading}
    for section, given in (("train", train), ("objective", objective)):
        if given is not None:
            raise RecipeError(f"{path}.{section}: a model taken by {kinds[0]} is not trained; remove it")
    if kinds == ["run"]:
        return {**resolve_options(_from_run, spec, path=path, name="run", beside=_reading_options), **reading}
    if reading != resolve_options(_Reading, {}, path=path, name=path):
        raise RecipeError(f"{path}: an ensemble has no taps, inputs or call of its own; give them to its members")
    return {**_ensemble(spec, path), **reading}


def _check_model_name(name: str) -> None:
    try:
        check_name("model", name)
    except LimbeckError as error:
        raise RecipeError(f"models: {error}") from error
    if name in _taken:
        raise RecipeError(f"models.{name}: a run keeps this name for itself; choose another one")


def _built(name: str, spec: dict[str, Any], path: str) -> dict[str, Any]:
    checkpoint = spec.get("checkpoint")
    if checkpoint is not None and not isinstance(checkpoint, str | Path):
        raise RecipeError(f"{path}.checkpoint is {checkpoint!r}; it must be the path of a file")
    options = {key: value for key, value in spec.items() if key != "checkpoint"}
    beside = ("train", "objective", "checkpoint", *_reading_options)
    model = resolve_use(["model"], options, path, (*FROM_TASK, "checkpoint"), beside)
    return {**model, "checkpoint": None if checkpoint is None else str(checkpoint)}


def _learning(name: str, train: Any, objective: Any, spec: Mapping[str, Any], path: str) -> dict[str, Any]:
    """How a teacher learns: alone, from others, together with the student, or not at all."""
    if name == "student":
        return {}
    if train == TOGETHER:
        if objective is not None:
            raise RecipeError(
                f"{path}.objective: it trains together with the student, by the terms of the objective at the top"
            )
        return {"train": TOGETHER, "objective": None}
    # A teacher that comes with weights learns only when it is told to.
    if train is None and objective is None and spec.get("checkpoint") is not None:
        return {"train": None, "objective": None}
    if not isinstance(train, Mapping | None):
        raise RecipeError(f"{path}.train is {train!r}; it must be a section with keys of its own, or {TOGETHER}")
    settings = _train(train or {}, f"{path}.train")
    if settings["finetune"] is not None:
        raise RecipeError(f"{path}.train.finetune: only the student and its control have a last stage; remove it")
    if objective is None:
        return {"train": settings, "objective": None}
    if not isinstance(objective, Mapping) or not objective:
        raise RecipeError(
            f"{path}.objective is {objective!r}; give at least one term, as in `hard: {{loss: cross_entropy}}`"
        )
    return {"train": settings, "objective": _objective(objective, f"{path}.objective")}


def _ensemble(spec: dict[str, Any], path: str) -> dict[str, Any]:
    members = spec["ensemble"]
    if isinstance(members, list) and all(isinstance(member, str) for member in members):
        spec = {**spec, "ensemble": dict.fromkeys(members, 1.0)}
    return resolve_options(_from_members, spec, path=path, name="ensemble")


def _objective(terms: Mapping[str, Any], path: str) -> dict[str, Any]:
    return {name: _term(spec, f"{path}.{name}") for name, spec in terms.items()}


def _term(spec: Any, path: str) -> dict[str, Any]:
    if not isinstance(spec, Mapping):
        raise RecipeError(f"{path} is {spec!r}; a term is {{loss, inputs, where, scale, weight, detach, gather}}")
    term = resolve_options(_Term, spec, path=path, name="a term")
    term["loss"] = resolve_use(["loss"], term["loss"], f"{path}.loss")
    return term
