"""Which teachers are cached in which trainings, and which of their outputs: decided by the recipe alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from limbeck import registry
from limbeck.cache import Field, fields_of
from limbeck.core import Term, source_of
from limbeck.core.addresses import parameter_path
from limbeck.errors import RecipeError, suggest
from limbeck.recipes.cache_settings import CacheSettings, resolve_settings
from limbeck.recipes.model_sources import has_weights
from limbeck.recipes.sklearn_models import is_sklearn_model
from limbeck.recipes.terms import build_term
from limbeck.runs.plan import TrainingSpec, trainings
from limbeck.runs.teachers import made_of
from limbeck.tasks import Task

__all__ = ["CachePlan", "plan_of"]

# With fewer views per row, building a cache costs about what it saves.
_fewest_passes = 4


@dataclass(frozen=True, kw_only=True)
class CachePlan:
    """What is cached of a recipe's teachers.

    Args:
        settings: how.
        requested: whether the recipe asks for a cache. If not, only caches that save time are built, without loss.
        outputs: for each teacher that is cached in some training, the outputs that trainings read.
        live: why the other teachers are not cached.
        views: the number of views per row of the student; None, if every epoch has its own.
    """

    settings: CacheSettings
    requested: bool
    outputs: Mapping[str, tuple[str, ...]]
    live: Mapping[str, str]
    views: int | None

    def cached_in(self, training: TrainingSpec, recipe: Mapping[str, Any]) -> list[str]:
        """The teachers of a training that are cached."""
        return [name for name, reason in _leaves(training, recipe) if reason is None and name in self.outputs]

    def views_of(self, training: TrainingSpec, task: Task) -> int | None:
        """The number of views per row in a training; None, if every epoch has its own."""
        return None if training.rows is task.teacher_rows else self.views

    def reads(self, training: TrainingSpec, recipe: Mapping[str, Any], task: Task) -> dict[str, Any]:
        """What a training's result depends on: the number of views, and codecs that keep less than everything."""
        views = self.views_of(training, task)
        lossy = {
            name: {output: section for output, section in self._sections(name).items() if section["use"] != "float32"}
            for name in self.cached_in(training, recipe)
        }
        lossy = {name: sections for name, sections in lossy.items() if sections}
        return {**({} if views is None else {"views": views}), **({"cache": lossy} if lossy else {})}

    def fields(self, outputs: Mapping[str, Tensor]) -> dict[str, Field]:
        """The fields of a teacher's cache, given its outputs for some rows.

        Raises:
            ArgumentError: if an output cannot be kept, or its codec does not fit.
        """
        return fields_of(outputs, {output: self.settings.section_of(output) for output in outputs})

    def _sections(self, name: str) -> dict[str, Mapping[str, Any]]:
        return {output: self.settings.section_of(output) for output in self.outputs[name]}


def plan_of(recipe: Mapping[str, Any], task: Task) -> CachePlan:
    """What is cached.

    A teacher can be, if it is frozen, reads the inputs of the batch, and all that is read of it are its outputs. If the
    recipe does not ask, it is where images are not augmented and its rows are passed at least four times.

    Raises:
        RecipeError: if the recipe asks for a teacher that cannot be cached, or for one whose images are augmented anew
            in every epoch.
    """
    section = recipe["cache"]
    requested = isinstance(section, Mapping)
    settings = CacheSettings(**(section if requested else resolve_settings({})))
    views = None if task.num_views == 1 else settings.views or task.num_views
    if section is False:
        return CachePlan(settings=settings, requested=False, outputs={}, live={}, views=views)
    outputs, live, passes = _survey(recipe, task)
    _check_named(settings, recipe, outputs, live)
    if requested and outputs and task.num_views is None and views is None:
        raise RecipeError(
            "cache: data.augment changes the images anew in every epoch, and a cache holds some views of each row; "
            "give their number, as in cache: {views: 4}"
        )
    for name in list(outputs):
        reason = _left_out(name, settings, requested, task.num_views is None, passes[name] // (task.num_views or 1))
        if reason is not None:
            live[name] = reason
            del outputs[name]
    return CachePlan(settings=settings, requested=requested, outputs=outputs, live=live, views=views)


def _left_out(name: str, settings: CacheSettings, requested: bool, augmented: bool, passes: int) -> str | None:
    if requested:
        named = settings.teachers is None or name in settings.teachers
        return None if named else "cache.teachers does not name it"
    if augmented:
        return "the images are augmented anew in every epoch, and no cache.views are given"
    if passes < _fewest_passes:
        return f"its rows are passed {passes} times, which pays from {_fewest_passes}"
    return None


def _survey(recipe: Mapping[str, Any], task: Task) -> tuple[dict[str, tuple[str, ...]], dict[str, str], dict[str, int]]:
    """What trainings read of each teacher that can be cached, why others cannot, and how often its rows are passed."""
    outputs: dict[str, dict[str, None]] = {}
    live: dict[str, str] = {}
    passes: dict[str, int] = {}
    for training in trainings(recipe, task):
        times = recipe["seeds"] if "student" in training.learners.values() else 1
        for name, reason in _leaves(training, recipe):
            if reason is None:
                outputs.setdefault(name, {}).update(dict.fromkeys(_outputs(name, training, recipe)))
                passes[name] = passes.get(name, 0) + training.train["epochs"] * times
            else:
                # Of its first training: a control reads no teacher, and that says nothing of one.
                live.setdefault(name, reason)
    return {n: tuple(read) for n, read in outputs.items()}, {n: r for n, r in live.items() if n not in outputs}, passes


def _leaves(training: TrainingSpec, recipe: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """The teachers with weights of a training, and why each cannot be cached there; None if it can."""
    for name in training.teachers(recipe):
        if has_weights(recipe["models"][name]) and name not in training.learners:
            yield name, _hindrance(name, training, recipe)


def _hindrance(name: str, training: TrainingSpec, recipe: Mapping[str, Any]) -> str | None:
    if is_sklearn_model(recipe["models"][training.learners["student"]]):
        return "a student that is fitted at once reads every row once"
    terms = _terms(training)
    inputs = recipe["models"][name]["inputs"]
    if inputs.split(".")[:2] not in (["batch", "inputs"], ["batch", "tokens"]):
        return f"it reads {inputs}, and a cache knows the inputs of a batch alone"
    for term, built in terms.items():
        for address in built.addresses:
            source = source_of(address)
            if not _stands_on(source, name, recipe):
                continue
            if built.differentiates:
                return f"the term {term!r} differentiates it"
            if parameter_path(address) is not None:
                return f"the term {term!r} reads its parameters"
    if not any(_stands_on(source_of(address), name, recipe) for built in terms.values() for address in built.addresses):
        return "no term reads what it says"
    static_outputs = registry.lookup("task", recipe["task"]).static_outputs
    for output in _outputs(name, training, recipe):
        if static_outputs is not None and output not in static_outputs:
            return f"its {output} may have another shape for every row"
    return None


def _outputs(name: str, training: TrainingSpec, recipe: Mapping[str, Any]) -> Iterator[str]:
    """What a training reads of a teacher: what terms name, or for one that others are made of, logits and taps."""
    spec = recipe["models"][name]
    # These are made of the logits.
    made = {"confidence", "confident"} if "confidence" in spec else set()
    if made or "classes" in spec:
        yield "logits"
    for term in _terms(training).values():
        for address in term.addresses:
            source, _, rest = address.partition(".")
            if source == name and rest not in made:
                yield rest
            elif _stands_on(source, name, recipe):
                yield "logits"
                yield from (tap for tap in spec["taps"] if tap in rest.split("."))


def _stands_on(source: str, name: str, recipe: Mapping[str, Any]) -> bool:
    models = recipe["models"]
    return source in models and name in made_of(source, recipe, [n for n, spec in models.items() if has_weights(spec)])


def _terms(training: TrainingSpec) -> dict[str, Term]:
    return {name: build_term(spec, f"objective.{name}") for name, spec in training.terms.items()}


def _check_named(
    settings: CacheSettings,
    recipe: Mapping[str, Any],
    outputs: Mapping[str, Any],
    live: Mapping[str, str],
) -> None:
    models = recipe["models"]
    for name in settings.teachers or ():
        path = f"cache.teachers: {name!r}"
        if name in outputs:
            continue
        if name in live:
            raise RecipeError(f"{path} cannot be cached: {live[name]}; leave it out, and it stays live")
        if name not in models:
            raise RecipeError(f"{path} is no model.{suggest(name, outputs)}")
        if not has_weights(models[name]):
            raise RecipeError(f"{path} is made of others; name those of them that can be cached: {sorted(outputs)}")
        raise RecipeError(f"{path} cannot be cached: it is no frozen teacher that a term reads; leave it out")
