"""From a resolved recipe to objects."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from limbeck import registry
from limbeck.core import Distiller, Schedule, Tapped, Teacher, Term, source_of
from limbeck.errors import LimbeckError, RecipeError, suggest
from limbeck.losses import CrossEntropy
from limbeck.recipes.options import FROM_TRAIN, construct, resolve_options
from limbeck.recipes.reading import reading, term_in_models
from limbeck.students import load_weights
from limbeck.tasks import ImageClassification
from limbeck.teachers import Ensemble, Frozen

__all__ = [
    "EnsembleModel",
    "build_distiller",
    "build_model",
    "build_teacher",
    "for_training",
    "has_weights",
    "is_read",
    "is_taught",
    "load_run_model",
    "plain_term",
    "run_model_spec",
    "supervised_terms",
    "teachers_in_use",
]

Spec = Mapping[str, Any]


def _construct(kind: str, spec: Spec, path: str, supplied: Spec) -> Any:
    options = {key: value for key, value in spec.items() if key != "use"}
    return construct(_entry(kind, spec, path), options, path=path, supplied=supplied)


def _entry(kind: str, spec: Spec, path: str) -> Any:
    return construct(registry.lookup, {"kind": kind, "name": spec["use"]}, path=path)


def build_term(spec: Spec, path: str, train: Spec | None = None) -> Term:
    """The term of a resolved recipe.

    Args:
        spec: its section.
        path: where it stands, for errors.
        train: the settings that it trains with; None where it is only asked what it reads and weighs.
    """
    supplied = {name: 1 if train is None else train[name] for name in FROM_TRAIN}
    loss = _construct("loss", spec["loss"], f"{path}.loss", supplied)
    options = {key: spec[key] for key in ("inputs", "weight", "where", "scale", "detach", "gather")}
    term: Term = construct(Term, {"loss": loss, **options}, path=path)
    return term


def build_model(spec: Spec, task: ImageClassification, *, seed: int, path: str) -> nn.Module:
    """A model with ``use``, its initial weights a function of the seed; and of its checkpoint, where it has one."""
    beside = ("use", "taps", "inputs", "call", "train", "objective", "checkpoint")
    options = {key: value for key, value in spec.items() if key not in beside}
    entry = _entry("model", spec, path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = task.model(lambda **shape: construct(entry, {**options, **shape}, path=path))
    if spec["checkpoint"] is not None:
        _load_checkpoint(model, Path(spec["checkpoint"]), path)
    return model


def _load_checkpoint(model: nn.Module, file: Path, path: str) -> None:
    """A file holds the weights of the whole model, as a run writes them, or those of the network alone."""
    try:
        load_weights(model, file)
    except LimbeckError as whole:
        try:
            load_weights(cast(nn.Module, model.net), file)
        except LimbeckError as error:
            raise RecipeError(f"{path}.checkpoint: {error}") from whole


def load_run_model(folder: Path, task: ImageClassification, path: str) -> nn.Module:
    """A model of a run, from ``models/<name>``.

    Raises:
        RecipeError: if there is none, or it is for other classes than the task's.
    """
    spec = run_model_spec(folder, path)
    classes = _config(folder, path)["classes"]
    if classes != list(task.classes):
        raise RecipeError(
            f"{path}: the model in {folder} knows {_few(classes)}, the data has {_few(list(task.classes))}; "
            "teacher and student need the same"
        )
    model = build_model({**spec, "checkpoint": None}, task, seed=0, path=path)
    try:
        load_weights(model, folder / "model.safetensors")
    except LimbeckError as error:
        raise RecipeError(f"{path}: {error}") from error
    return model


def run_model_spec(folder: Path, path: str) -> Spec:
    """The section that a model of a run was built by.

    Raises:
        RecipeError: if there is no such model, or it was given as an object.
    """
    spec: Spec | None = _config(folder, path)["model"]
    if spec is None:
        raise RecipeError(f"{path}: the model in {folder} was given in Python; give it again: limbeck.run(…, models=…)")
    return spec


def _config(folder: Path, path: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = config["model"]
        return {"classes": list(config["classes"]), "model": None if model is None else {**model, "use": model["use"]}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{path}: no finished model in {folder} ({type(error).__name__}: {error})") from error


def _few(values: Sequence[str]) -> str:
    return f"{len(values)} classes ({', '.join(values[:4])}{', …' if len(values) > 4 else ''})"


def teachers_in_use(recipe: Spec, terms: Mapping[str, Spec], learners: Collection[str]) -> tuple[str, ...]:
    """The models that these terms read beside the learners, each after all that it needs itself.

    A model needs the members of its ensemble, and the models that its own objective reads.

    Raises:
        RecipeError: if a source or a member is not in the recipe, or a model needs itself.
    """
    models = recipe["models"]
    used: list[str] = []

    def visit(name: str, path: str, above: tuple[str, ...], order: list[str]) -> None:
        if name not in models:
            raise RecipeError(f"{path}: no source {name!r}.{suggest(name, {*models, 'batch'})}")
        if name in above:
            raise RecipeError(f"models.{name} needs itself: {' -> '.join((*above, name))}")
        for needed, place in _needed(name, models[name]):
            visit(needed, place, (*above, name), order)
        if name not in order:
            order.append(name)

    for name, path in _sources(terms, "objective"):
        if name not in learners:
            visit(name, path, (), used)
    # The others never run, but what they say must be right as well.
    for name in models:
        visit(name, f"models.{name}", (), [])
    return tuple(used)


def _sources(terms: Mapping[str, Spec], path: str) -> Iterator[tuple[str, str]]:
    """What terms read beside the batch and the learner, and where they say so."""
    for name, spec in terms.items():
        place = f"{path}.{name}"
        for source in dict.fromkeys(map(source_of, build_term(spec, place).addresses)):
            if source not in ("batch", "student"):
                yield source, place


def _needed(name: str, spec: Spec) -> Iterator[tuple[str, str]]:
    """The models that one needs before it can speak, and where it says so."""
    for member in spec.get("ensemble", ()):
        if member == "student":
            raise RecipeError(f"models.{name}: the student cannot be a member of an ensemble of teachers")
        yield member, f"models.{name}.ensemble"
    yield from _sources(spec.get("objective") or {}, f"models.{name}.objective")


def build_teacher(
    name: str, models: Mapping[str, nn.Module], recipe: Spec, differentiated: Collection[str] = ()
) -> Teacher:
    """The frozen teacher, or the ensemble of them, that stands for a name; those ``differentiated`` have a graph."""
    spec = recipe["models"][name]
    if "ensemble" in spec:
        members = {member: build_teacher(member, models, recipe, differentiated) for member in spec["ensemble"]}
        options = {"weights": spec["ensemble"], "mean": spec["mean"], "temperature": spec["temperature"]}
        ensemble: Ensemble = construct(Ensemble, {"members": members, **options}, path=f"models.{name}")
        return ensemble
    model = models[name]
    path = f"models.{name}"
    options = {"model": model, **reading(model, spec, path), "differentiable": name in differentiated}
    frozen: Frozen = construct(Frozen, options, path=path)
    return frozen


def _differentiated(terms: Mapping[str, Term], recipe: Spec) -> set[str]:
    """The models that a loss differentiates, and the members of those that are ensembles."""
    read = {source_of(a) for term in terms.values() if term.differentiates for a in term.inputs.values()}
    return {member for name in read & recipe["models"].keys() for member in _members(name, recipe)}


class EnsembleModel(nn.Module):
    """An ensemble as one model, images to logits: to measure it like any other."""

    def __init__(self, name: str, models: Mapping[str, nn.Module], recipe: Spec) -> None:
        super().__init__()
        self.members = nn.ModuleDict({f"_{member}": models[member] for member in _members(name, recipe)})
        # In a tuple: its modules stand in `members` already.
        self._teacher = (build_teacher(name, models, recipe),)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self._teacher[0]({"batch": {"inputs": images}})["logits"]
        return logits


def _members(name: str, recipe: Spec) -> list[str]:
    """The models of an ensemble and of the ensembles in it, each once."""
    inside = recipe["models"][name].get("ensemble")
    found = [name] if inside is None else [leaf for member in inside for leaf in _members(member, recipe)]
    return list(dict.fromkeys(found))


def _tapped(model: nn.Module, spec: Spec, path: str) -> Tapped:
    tapped: Tapped = construct(Tapped, {"model": model, **reading(model, spec, path)}, path=path)
    return tapped


def build_distiller(
    recipe: Spec,
    terms: Mapping[str, Spec],
    learners: Mapping[str, tuple[str, nn.Module]],
    teachers: Mapping[str, nn.Module],
    *,
    balance: Spec | None = None,
    train: Spec | None = None,
    shared: bool = False,
) -> Distiller:
    """The distiller of one training.

    Args:
        recipe: the resolved recipe.
        terms: resolved terms, by name.
        learners: name on the board -> section under ``models`` and the model itself.
        teachers: the models that need no other, by name.
        balance: how the terms are weighed beside their own weights.
        train: its settings; those at the top of the recipe by default.
        shared: divide the weights of the terms by their sum.
    """
    students = {
        name: _tapped(model, recipe["models"][section], f"models.{section}")
        for name, (section, model) in learners.items()
    }
    models = {**teachers, **{name: model for name, (_, model) in learners.items()}}
    weighed, train = _shared(terms) if shared else terms, recipe["train"] if train is None else train
    placed = {name: term_in_models(term, models, f"objective.{name}") for name, term in weighed.items()}
    built = {name: build_term(term, f"objective.{name}", train) for name, term in placed.items()}
    used = [name for name in teachers_in_use(recipe, terms, learners) if is_read(name, terms)]
    differentiated = _differentiated(built, recipe)
    options = {
        "student": students,
        "terms": built,
        "teachers": {name: build_teacher(name, teachers, recipe, differentiated) for name in used},
        "balance": None if balance is None else _construct("balance", balance, "balance", {}),
    }
    distiller: Distiller = construct(Distiller, options, path="objective")
    return distiller


def is_read(name: str, terms: Mapping[str, Spec]) -> bool:
    """Whether a term reads this model itself, rather than one that needs it."""
    return any(name == source for source, _ in _sources(terms, "objective"))


def is_taught(terms: Mapping[str, Spec]) -> bool:
    """Whether a term reads anything beside the batch and the learner."""
    return any(True for _ in _sources(terms, "objective"))


def has_weights(spec: Spec) -> bool:
    """Whether a section describes a model by itself, rather than one made of others."""
    return "ensemble" not in spec


def for_training(distiller: Distiller) -> Distiller:
    """The same, its models laid out for speed: convolutions are faster when channels lie together."""
    # Not the terms: a projection that is not sized yet has no layout.
    for module in (*distiller.students.values(), *distiller.teachers.values()):
        if isinstance(module, nn.Module):
            module.to(memory_format=torch.channels_last)
    return distiller


def supervised_terms(recipe: Spec) -> dict[str, Spec]:
    """The terms of the control: those that read the student and the batch alone, their weights summing to 1.

    Without any, the control learns by cross-entropy.
    """
    chosen = {
        name: spec for name, spec in recipe["objective"].items() if spec["weight"] != 0 and _supervises(spec, name)
    }
    if not chosen:
        return {"hard": plain_term()}
    weights = [spec["weight"] for spec in chosen.values()]
    if len(chosen) == 1:
        return {name: {**spec, "weight": 1.0} for name, spec in chosen.items()}
    if any(isinstance(weight, Mapping) for weight in weights):
        # Their sum differs from step to step: `build_distiller` divides by it.
        return chosen
    return {name: {**spec, "weight": spec["weight"] / sum(weights)} for name, spec in chosen.items()}


def _supervises(spec: Spec, name: str) -> bool:
    term = build_term(spec, f"objective.{name}")
    read = {source_of(address) for address in term.inputs.values()}
    return "batch" in read and {source_of(address) for address in term.addresses} <= {"batch", "student"}


def plain_term() -> Spec:
    """Cross-entropy on every row whose label is known."""
    loss = {"use": "cross_entropy", **resolve_options(CrossEntropy, {}, path="control", name="cross_entropy")}
    addresses = dict.fromkeys(("inputs", "where", "scale", "detach"))
    return {"loss": loss, **addresses, "weight": 1.0, "gather": False}


def _shared(terms: Mapping[str, Spec]) -> Mapping[str, Spec]:
    """The terms with weights that sum to 1 at every step."""
    if not any(isinstance(spec["weight"], Mapping) for spec in terms.values()):
        return terms
    schedules = {name: build_term(spec, f"objective.{name}").schedule for name, spec in terms.items()}
    together = tuple(schedules.values())
    return {name: {**spec, "weight": _Share(schedules[name], together)} for name, spec in terms.items()}


@dataclass(frozen=True)
class _Share:
    """One schedule over the sum of all."""

    own: Schedule
    together: Sequence[Schedule]

    def __call__(self, step: int) -> float:
        total = sum(schedule(step) for schedule in self.together)
        return self.own(step) / total if total else 1 / len(self.together)
