"""What a form of a model has to say. Everything else in a recipe knows models through this alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from limbeck.core import Teacher
from limbeck.errors import RecipeError
from limbeck.recipes.model_io import check_taps, reading
from limbeck.recipes.model_sources.teacher_wrappers import WRAPPER_OPTIONS, with_confidence
from limbeck.recipes.options import construct, resolve_options
from limbeck.tasks import Task
from limbeck.teachers import Cached, Frozen, MapClasses, Peer

__all__ = [
    "ModelContext",
    "ModelSource",
    "Section",
    "Spec",
    "TeacherContext",
    "WeightedModel",
    "add_finder",
    "add_model_sources",
    "base_teacher",
    "has_weights",
    "model_source_of",
    "model_sources",
    "weighted_model_of",
]

Spec = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Reading:
    taps: Any = field(default_factory=dict)
    inputs: str = "batch.inputs"
    call: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Section:
    """The section of one model.

    Args:
        task: which one the recipe is for.
        name: under ``models``.
        path: where it stands, for errors.
        options: all but what follows.
        train: how it learns, as the recipe says it; None if it does not.
        objective: by which terms, likewise.
        reading: ``taps``, ``inputs`` and ``call``, where they are given.
        wrappers: ``classes``, ``preprocess`` and ``confidence``, resolved, where they are given.
    """

    task: type[Task]
    name: str
    path: str
    options: dict[str, Any]
    train: Any
    objective: Any
    reading: Spec
    wrappers: Spec

    def read(self) -> dict[str, Any]:
        """Its taps, inputs and call arguments with every default written out.

        Raises:
            RecipeError: with the place in the recipe.
        """
        resolved = resolve_options(_Reading, self.reading, path=self.path, name=self.path)
        check_taps(resolved["taps"], f"{self.path}.taps")
        return resolved

    def resolved(
        self,
        key: str,
        entry: Callable[..., Any],
        *,
        supplied: Collection[str] = (),
        renamed: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """The section of a source without weights of its own: the options of one constructor.

        Args:
            key: of the source.
            entry: the constructor.
            supplied: its parameters that no recipe gives.
            renamed: what the recipe calls a parameter where it has another name there.

        Raises:
            RecipeError: if one is unknown, missing or of a wrong type, or the section says how it is trained.
        """
        self.refuse_training(key)
        given = {**self.options, **self.reading}
        return resolve_options(entry, given, path=self.path, name=key, supplied=supplied, renamed=renamed)

    def refuse_training(self, key: str) -> None:
        """Refuse ``train`` and ``objective``.

        Raises:
            RecipeError: if one is given.
        """
        for section, given in (("train", self.train), ("objective", self.objective)):
            if given is not None:
                raise RecipeError(f"{self.path}.{section}: a model taken by {key} is not trained; remove it")


@dataclass(frozen=True, kw_only=True)
class ModelContext:
    """What a model with weights of its own is built from.

    Args:
        task: with the data loaded.
        objects: models that were given as real objects, by name.
        other: gives another model of the recipe by name, as it is now: trained, once the run has trained it.
        rows: gives some training rows as the model of that name reads them, in batches; none before a run begins.
    """

    task: Task
    objects: Mapping[str, nn.Module]
    other: Callable[[str], nn.Module]
    rows: Callable[[str], Iterable[Mapping[str, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class TeacherContext:
    """What teachers on the board are built from.

    Args:
        recipe: as `resolve` gives it.
        classes: of the task.
        models: those with weights, by name.
        learners: the names of those that train in the same steps.
        differentiated: the names of those that a loss differentiates.
        trained_states: states that a finished training left in teachers, by name.
        cached: the names of those whose outputs the batch brings along.
    """

    recipe: Spec
    classes: Sequence[str]
    models: Mapping[str, nn.Module]
    learners: Collection[str] = ()
    differentiated: Collection[str] = ()
    trained_states: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    cached: Collection[str] = ()
    _made: dict[str, Teacher] = field(default_factory=dict, init=False)

    def teacher(self, name: str) -> Teacher:
        """The teacher of a section; the same object on every call.

        Raises:
            RecipeError: with the place in the recipe.
        """
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def options(self, name: str) -> dict[str, Any]:
        """The section of a model without the options of wrappers."""
        return {key: value for key, value in self.recipe["models"][name].items() if key not in WRAPPER_OPTIONS}

    def _make(self, name: str) -> Teacher:
        if name in self.learners:
            return Peer(name)
        spec = self.recipe["models"][name]
        teacher = _frozen(name, self) if name in self.models else model_source_of(spec).teacher(name, self)
        return with_confidence(teacher, spec, f"models.{name}")


class ModelSource(ABC):
    """One form that a section under ``models`` may have, told by its key."""

    key: ClassVar[str]
    may_need_student: ClassVar[bool] = False
    """Whether it may be built from the student."""

    @abstractmethod
    def resolve(self, section: Section) -> dict[str, Any]:
        """The section with every default written out.

        Raises:
            RecipeError: if anything in it cannot be right.
        """

    @abstractmethod
    def teacher(self, name: str, context: TeacherContext) -> Teacher:
        """The teacher of the section of this name."""

    def needs(self, spec: Spec) -> tuple[str, ...]:
        """The models that it is built from."""
        return ()

    def reads(self, spec: Spec) -> tuple[str, ...]:
        """The models among them whose outputs must be on the board."""
        return ()

    def is_model(self, spec: Spec) -> bool:
        """Whether it gives logits from inputs alone once all training is over."""
        return True

    def learns(self, spec: Spec) -> bool:
        """Whether training changes the state of its teacher."""
        return False

    def follows(self, spec: Spec) -> str | None:
        """The learner whose weights it tracks during training; None if it tracks none."""
        return None

    def trained_state(self, teacher: Teacher) -> dict[str, Tensor]:
        """The state of its teacher that is stored with the weights of the student."""
        return {}

    def output_key(self, spec: Spec) -> dict[str, Any]:
        """The parts of a resolved section that decide its outputs, apart from weights."""
        return {key: value for key, value in spec.items() if key != "call"}


class WeightedModel(ModelSource):
    """A source of models with weights of their own."""

    @abstractmethod
    def initial(self, spec: Spec, context: ModelContext, *, seed: int, path: str) -> nn.Module:
        """The model before training in this run.

        Raises:
            RecipeError: if it cannot be made.
        """

    @abstractmethod
    def architecture(self, spec: Spec, path: str) -> Spec | None:
        """The section with ``use`` that rebuilds the model; None if no section does."""

    def classes(self, spec: Spec, path: str) -> Sequence[str] | None:
        """The classes of its logits; None for the classes of the task."""
        named: Sequence[str] | None = spec.get("classes")
        return named

    def random_init(self, spec: Spec) -> bool:
        """Whether its initial weights are random: a function of section and seed alone."""
        return False

    def teacher(self, name: str, context: TeacherContext) -> Teacher:
        return _frozen(name, context)

    def output_key(self, spec: Spec) -> dict[str, Any]:
        # All else decides the weights, which have their own keys.
        return {key: spec[key] for key in ("taps", "inputs", "classes") if key in spec}


def base_teacher(name: str, context: TeacherContext) -> Teacher:
    """A model with weights as a teacher without wrappers, whose outputs a cache holds."""
    if name in context.cached:
        return Cached(name)
    specs, path, model = context.recipe["models"], f"models.{name}", context.models[name]
    # A copy of a learner has the inputs and taps of that learner.
    read = reading(model, specs[model_source_of(specs[name]).follows(specs[name]) or name], path)
    options = {"model": model, **read, "differentiable": name in context.differentiated}
    frozen: Teacher = construct(Frozen, options, path=path)
    return frozen


def _frozen(name: str, context: TeacherContext) -> Teacher:
    spec, path, frozen = context.recipe["models"][name], f"models.{name}", base_teacher(name, context)
    names = weighted_model_of(spec).classes(spec, path) if has_weights(spec) else None
    if names is None or list(names) == list(context.classes):
        return frozen
    mapped: Teacher = construct(MapClasses, {"teacher": frozen, "classes": names, "to": context.classes}, path=path)
    return mapped


_sources: dict[str, ModelSource] = {}
_further: list[Callable[[], Mapping[str, ModelSource]]] = []


def add_model_sources(*added: ModelSource) -> None:
    """Let sections have these forms."""
    _sources.update({source.key: source for source in added})


def add_finder(find: Callable[[], Mapping[str, ModelSource]]) -> None:
    """Look for further sources, by key, whenever they are asked for."""
    _further.append(find)


def model_sources() -> dict[str, ModelSource]:
    """All forms by key."""
    return {**{key: source for find in _further for key, source in find().items()}, **_sources}


def model_source_of(spec: Spec) -> ModelSource:
    """The form of a resolved section."""
    known = next((source for key, source in _sources.items() if key in spec), None)
    return known or next(source for key, source in model_sources().items() if key in spec)


def has_weights(spec: Spec) -> bool:
    """Whether a section describes a model with weights of its own, rather than one made of others."""
    return isinstance(model_source_of(spec), WeightedModel)


def weighted_model_of(spec: Spec) -> WeightedModel:
    """The form of a resolved section that describes a model with weights of its own."""
    source = model_source_of(spec)
    assert isinstance(source, WeightedModel)
    return source
