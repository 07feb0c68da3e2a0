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
from limbeck.recipes.caching.settings import CacheSettings, resolve_settings
from limbeck.recipes.fitted import is_fitted
from limbeck.recipes.forms import has_weights
from limbeck.recipes.lessons import Lesson, lessons
from limbeck.recipes.teachers import made_of
from limbeck.recipes.terms import build_term
from limbeck.tasks import Task

__all__ = ["CachePlan", "plan_of"]

# With fewer looks at each row, building a cache costs about what it saves.
_fewest_passes = 4


@dataclass(frozen=True, kw_only=True)
class CachePlan:
    """What is cached of a recipe's teachers.

    Args:
        settings: how.
        asked: whether the recipe asks for it. If not, what is cached changes no result and is left out where it does
            not pay.
        outputs: for each teacher that is cached in some training, what the trainings read of it.
        live: why the other teachers are not.
        views: how many looks at each row of the student there are; None, if every epoch has its own.
    """

    settings: CacheSettings
    asked: bool
    outputs: Mapping[str, tuple[str, ...]]
    live: Mapping[str, str]
    views: int | None

    def cached_in(self, lesson: Lesson, recipe: Mapping[str, Any]) -> list[str]:
        """The teachers of a training that are cached."""
        return [name for name, reason in _leaves(lesson, recipe) if reason is None and name in self.outputs]

    def views_of(self, lesson: Lesson, task: Task) -> int | None:
        """How many looks at each row a training has; None, if every epoch has its own."""
        return None if lesson.rows is task.teacher_rows else self.views

    def reads(self, lesson: Lesson, recipe: Mapping[str, Any], task: Task) -> dict[str, Any]:
        """What a training's result depends on: the number of views, and codecs that keep less than everything."""
        views = self.views_of(lesson, task)
        lossy = {
            name: {output: section for output, section in self._sections(name).items() if section["use"] != "float32"}
            for name in self.cached_in(lesson, recipe)
        }
        lossy = {name: sections for name, sections in lossy.items() if sections}
        return {**({} if views is None else {"views": views}), **({"cache": lossy} if lossy else {})}

    def fields(self, said: Mapping[str, Tensor]) -> dict[str, Field]:
        """The fields of a teacher's cache, given what it says of some rows.

        Raises:
            ArgumentError: if an output cannot be kept, or its codec does not fit.
        """
        return fields_of(said, {output: self.settings.section_of(output) for output in said})

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
    asked = isinstance(section, Mapping)
    settings = CacheSettings(**(section if asked else resolve_settings({})))
    views = None if task.looks == 1 else settings.views or task.looks
    if section is False:
        return CachePlan(settings=settings, asked=False, outputs={}, live={}, views=views)
    outputs, live, passes = _survey(recipe, task)
    _check_named(settings, recipe, outputs, live)
    if asked and outputs and task.looks is None and views is None:
        raise RecipeError(
            "cache: data.augment changes the images anew in every epoch, and a cache holds some views of each row; "
            "give their number, as in cache: {views: 4}"
        )
    for name in list(outputs):
        reason = _left_out(name, settings, asked, task.looks is None, passes[name] // (task.looks or 1))
        if reason is not None:
            live[name] = reason
            del outputs[name]
    return CachePlan(settings=settings, asked=asked, outputs=outputs, live=live, views=views)


def _left_out(name: str, settings: CacheSettings, asked: bool, augmented: bool, passes: int) -> str | None:
    if asked:
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
    for lesson in lessons(recipe, task):
        times = recipe["seeds"] if "student" in lesson.learners.values() else 1
        for name, reason in _leaves(lesson, recipe):
            if reason is None:
                outputs.setdefault(name, {}).update(dict.fromkeys(_outputs(name, lesson, recipe)))
                passes[name] = passes.get(name, 0) + lesson.train["epochs"] * times
            else:
                # Of its first training: a control reads no teacher, and that says nothing of one.
                live.setdefault(name, reason)
    return {n: tuple(read) for n, read in outputs.items()}, {n: r for n, r in live.items() if n not in outputs}, passes


def _leaves(lesson: Lesson, recipe: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """The teachers with weights of a training, and why each cannot be cached there; None if it can."""
    for name in lesson.teachers(recipe):
        if has_weights(recipe["models"][name]) and name not in lesson.learners:
            yield name, _hindrance(name, lesson, recipe)


def _hindrance(name: str, lesson: Lesson, recipe: Mapping[str, Any]) -> str | None:
    if is_fitted(recipe["models"][lesson.learners["student"]]):
        return "a student that is fitted at once reads every row once"
    terms = _terms(lesson)
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
    fixed = registry.lookup("task", recipe["task"]).fixed
    for output in _outputs(name, lesson, recipe):
        if fixed is not None and output not in fixed:
            return f"its {output} may have another shape for every row"
    return None


def _outputs(name: str, lesson: Lesson, recipe: Mapping[str, Any]) -> Iterator[str]:
    """What a training reads of a teacher: what terms name, or for one that others are made of, logits and taps."""
    spec = recipe["models"][name]
    # These are made of the logits.
    made = {"confidence", "confident"} if "confidence" in spec else set()
    if made or "classes" in spec:
        yield "logits"
    for term in _terms(lesson).values():
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


def _terms(lesson: Lesson) -> dict[str, Term]:
    return {name: build_term(spec, f"objective.{name}") for name, spec in lesson.terms.items()}


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
