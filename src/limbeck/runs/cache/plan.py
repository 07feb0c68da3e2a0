"""Which teachers are cached in which trainings, and which of their outputs: decided by the recipe alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from limbeck.cache import Field, fields_of
from limbeck.core import source_of
from limbeck.core.addresses import parameter_path
from limbeck.errors import RecipeError, suggest
from limbeck.recipes.cache_settings import CacheSettings, parse_cache_settings
from limbeck.recipes.model_sources import ModelSpec
from limbeck.recipes.recipe import Recipe
from limbeck.recipes.sklearn_models import is_sklearn_model
from limbeck.runs.plan import TrainingSpec
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
        static: the outputs whose shape is the same for all rows; None for all.
    """

    settings: CacheSettings
    requested: bool
    outputs: Mapping[str, tuple[str, ...]]
    live: Mapping[str, str]
    views: int | None
    static: Sequence[str] | None = None

    def cached_in(self, training: TrainingSpec, specs: Mapping[str, ModelSpec]) -> list[str]:
        """The teachers of a training that are cached."""
        return [
            name for name, reason in _leaves(training, specs, self.static) if reason is None and name in self.outputs
        ]

    def views_of(self, training: TrainingSpec, task: Task) -> int | None:
        """The number of views per row in a training; None, if every epoch has its own."""
        return None if training.rows is task.teacher_rows else self.views

    def reads(self, training: TrainingSpec, specs: Mapping[str, ModelSpec], task: Task) -> dict[str, Any]:
        """What a training's result depends on: the number of views, and codecs that keep less than everything."""
        views = self.views_of(training, task)
        lossy = {
            name: {output: section for output, section in self._sections(name).items() if section["use"] != "float32"}
            for name in self.cached_in(training, specs)
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


def plan_of(recipe: Recipe, task: Task, trainings: Sequence[TrainingSpec]) -> CachePlan:
    """What is cached.

    A teacher can be, if it is frozen, reads the inputs of the batch, and all that is read of it are its outputs. If the
    recipe does not ask, it is where rows are not augmented and are passed at least four times.

    Args:
        recipe: parsed.
        task: with the data loaded.
        trainings: of the run.

    Raises:
        RecipeError: if the recipe asks for a teacher that cannot be cached, or for one whose rows are augmented anew
            in every epoch.
    """
    requested = isinstance(recipe.cache, CacheSettings)
    settings = recipe.cache if isinstance(recipe.cache, CacheSettings) else parse_cache_settings({})
    views = None if task.num_views == 1 else settings.views or task.num_views
    if recipe.cache is False:
        return CachePlan(settings=settings, requested=False, outputs={}, live={}, views=views)
    static = recipe.task_type.static_outputs
    outputs, live, passes = _survey(recipe, trainings)
    _check_named(settings, recipe.models, outputs, live)
    if requested and outputs and task.num_views is None and views is None:
        raise RecipeError(
            "cache: data.augment changes the rows anew in every epoch, and a cache holds some views of each row; "
            "give their number, as in cache: {views: 4}",
            code="missing",
            path="cache.views",
        )
    for name in list(outputs):
        reason = _left_out(name, settings, requested, task.num_views is None, passes[name] // (task.num_views or 1))
        if reason is not None:
            live[name] = reason
            del outputs[name]
    return CachePlan(settings=settings, requested=requested, outputs=outputs, live=live, views=views, static=static)


def _left_out(name: str, settings: CacheSettings, requested: bool, augmented: bool, passes: int) -> str | None:
    if requested:
        named = settings.teachers is None or name in settings.teachers
        return None if named else "cache.teachers does not name it"
    if augmented:
        return "the rows are augmented anew in every epoch, and no cache.views are given"
    if passes < _fewest_passes:
        return f"its rows are passed {passes} times, which pays from {_fewest_passes}"
    return None


def _survey(
    recipe: Recipe, trainings: Sequence[TrainingSpec]
) -> tuple[dict[str, tuple[str, ...]], dict[str, str], dict[str, int]]:
    """What trainings read of each teacher that can be cached, why others cannot, and how often its rows are passed."""
    outputs: dict[str, dict[str, None]] = {}
    live: dict[str, str] = {}
    passes: dict[str, int] = {}
    for training in trainings:
        times = recipe.seeds if "student" in training.learners.values() else 1
        for name, reason in _leaves(training, recipe.models, recipe.task_type.static_outputs):
            if reason is None:
                outputs.setdefault(name, {}).update(dict.fromkeys(_outputs(name, training, recipe.models)))
                passes[name] = passes.get(name, 0) + training.train.epochs * times
            else:
                # Of its first training: a control reads no teacher, and that says nothing of one.
                live.setdefault(name, reason)
    return {n: tuple(read) for n, read in outputs.items()}, {n: r for n, r in live.items() if n not in outputs}, passes


def _leaves(
    training: TrainingSpec, specs: Mapping[str, ModelSpec], static: Sequence[str] | None
) -> Iterator[tuple[str, str | None]]:
    """The teachers with weights of a training, and why each cannot be cached there; None if it can."""
    for name in training.teachers:
        if specs[name].has_weights and name not in training.learners:
            yield name, _hindrance(name, training, specs, static)


def _hindrance(
    name: str, training: TrainingSpec, specs: Mapping[str, ModelSpec], static: Sequence[str] | None
) -> str | None:
    if is_sklearn_model(specs[training.learners["student"]]):
        return "a student that is fitted at once reads every row once"
    inputs = specs[name].inputs
    if inputs.split(".")[:2] not in (["batch", "inputs"], ["batch", "tokens"]):
        return f"it reads {inputs}, and a cache knows the inputs of a batch alone"
    standing = {source for source in specs if _stands_on(source, name, specs)}
    reading = [
        (term, address)
        for term in training.terms.values()
        for address in term.addresses
        if source_of(address) in standing
    ]
    for term, address in reading:
        if term.differentiates:
            return f"the term {term.name!r} differentiates it"
        if parameter_path(address) is not None:
            return f"the term {term.name!r} reads its parameters"
    if not reading:
        return "no term reads what it says"
    for output in _outputs(name, training, specs):
        if static is not None and output not in static:
            return f"its {output} may have another shape for every row"
    return None


def _outputs(name: str, training: TrainingSpec, specs: Mapping[str, ModelSpec]) -> Iterator[str]:
    """What a training reads of a teacher: what terms name, or for one that others are made of, logits and taps."""
    spec = specs[name]
    # These are made of the logits.
    made = set() if spec.confidence is None else {"confidence", "confident"}
    if made or spec.classes is not None:
        yield "logits"
    for term in training.terms.values():
        for address in term.addresses:
            source, _, rest = address.partition(".")
            if source == name and rest not in made:
                yield rest
            elif _stands_on(source, name, specs):
                yield "logits"
                yield from (tap for tap in spec.taps if tap in rest.split("."))


def _stands_on(source: str, name: str, specs: Mapping[str, ModelSpec]) -> bool:
    if source == name or source not in specs:
        return source == name
    return name in made_of(source, specs, [other for other, spec in specs.items() if spec.has_weights])


def _check_named(
    settings: CacheSettings,
    specs: Mapping[str, ModelSpec],
    outputs: Mapping[str, Any],
    live: Mapping[str, str],
) -> None:
    for name in settings.teachers or ():
        path = f"cache.teachers: {name!r}"
        if name in outputs:
            continue
        if name in live:
            raise RecipeError(
                f"{path} cannot be cached: {live[name]}; leave it out, and it stays live",
                code="unsupported",
                path="cache.teachers",
            )
        if name not in specs:
            raise RecipeError(
                f"{path} is no model.{suggest(name, outputs)}", code="unknown_name", path="cache.teachers"
            )
        if not specs[name].has_weights:
            raise RecipeError(
                f"{path} is made of others; name those of them that can be cached: {sorted(outputs)}",
                code="unsupported",
                path="cache.teachers",
            )
        raise RecipeError(
            f"{path} cannot be cached: it is no frozen teacher that a term reads; leave it out",
            code="unsupported",
            path="cache.teachers",
        )
