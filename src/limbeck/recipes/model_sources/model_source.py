"""What a form of a model has to say. Everything else in a recipe knows models through this alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from limbeck.core import Teacher
from limbeck.recipes.model_io import ModelIO
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.model_sources.teacher_wrappers import with_confidence
from limbeck.recipes.options import construct
from limbeck.tasks import Task
from limbeck.teachers import Cached, Frozen, MapClasses, Peer

__all__ = [
    "ModelContext",
    "ModelSource",
    "TeacherContext",
    "WeightedModel",
    "add_finder",
    "add_model_sources",
    "base_teacher",
    "model_sources",
]


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
        specs: the sections of the recipe, by name.
        classes: of the task.
        models: those with weights, by name.
        learners: the names of those that train in the same steps.
        differentiated: the names of those that a loss differentiates.
        trained_states: states that a finished training left in teachers, by name.
        cached: the names of those whose outputs the batch brings along.
    """

    specs: Mapping[str, ModelSpec]
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

    def _make(self, name: str) -> Teacher:
        if name in self.learners:
            return Peer(name)
        spec = self.specs[name]
        teacher = _frozen(spec, self) if name in self.models else spec.source.teacher(spec, self)
        return with_confidence(teacher, spec.confidence, spec.path)


class ModelSource(ABC):
    """One form that a section under ``models`` may have, told by its key."""

    key: ClassVar[str]
    may_need_student: ClassVar[bool] = False
    """Whether it may be built from the student."""
    has_weights: ClassVar[bool] = False
    """Whether its models have weights of their own."""

    @abstractmethod
    def parse(self, section: Section) -> ModelSpec:
        """The section with every default written out.

        Raises:
            RecipeError: if anything in it cannot be right.
        """

    @abstractmethod
    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        """The teacher of a section."""

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        """The models that it is built from."""
        return ()

    def reads(self, spec: ModelSpec) -> tuple[str, ...]:
        """The models among them whose outputs must be on the board."""
        return ()

    def is_model(self, spec: ModelSpec) -> bool:
        """Whether it gives logits from inputs alone once all training is over."""
        return True

    def learns(self, spec: ModelSpec) -> bool:
        """Whether training changes the state of its teacher."""
        return False

    def follows(self, spec: ModelSpec) -> str | None:
        """The learner whose weights it tracks during training; None if it tracks none."""
        return None

    def trained_state(self, teacher: Teacher) -> dict[str, Tensor]:
        """The state of its teacher that is stored with the weights of the student."""
        return {}

    def output_key(self, spec: ModelSpec) -> dict[str, Any]:
        """The parts of a section that decide its outputs, apart from weights."""
        return dict(spec.options)


class WeightedModel(ModelSource):
    """A source of models with weights of their own."""

    has_weights: ClassVar[bool] = True

    @abstractmethod
    def initial(self, spec: ModelSpec, context: ModelContext, *, seed: int) -> nn.Module:
        """The model before training in this run.

        Raises:
            RecipeError: if it cannot be made.
        """

    @abstractmethod
    def architecture(self, spec: ModelSpec) -> Mapping[str, Any] | None:
        """The section with ``use`` that rebuilds the model; None if no section does."""

    def classes(self, spec: ModelSpec) -> Sequence[str] | None:
        """The classes of its logits; None for the classes of the task."""
        return spec.classes

    def random_init(self, spec: ModelSpec) -> bool:
        """Whether its initial weights are random: a function of section and seed alone."""
        return False

    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        return _frozen(spec, context)

    def output_key(self, spec: ModelSpec) -> dict[str, Any]:
        # All else decides the weights, which have their own keys.
        classes = {} if spec.classes is None else {"classes": spec.classes}
        detached = {"detach_inputs": True} if spec.io is not None and spec.io.detach_inputs else {}
        inputs = spec.inputs if spec.io is None else spec.io.inputs
        return {"taps": spec.taps, "inputs": inputs, **detached, **classes}


def base_teacher(spec: ModelSpec, context: TeacherContext) -> Teacher:
    """A model with weights as a teacher without wrappers, whose outputs a cache holds."""
    if spec.name in context.cached:
        return Cached(spec.name)
    model = context.models[spec.name]
    # A copy of a learner has the inputs and taps of that learner.
    followed = spec.source.follows(spec)
    io = (spec if followed is None else context.specs[followed]).io or ModelIO()
    options = {
        "model": model,
        **io.arguments(model, spec.path),
        "differentiable": spec.name in context.differentiated,
    }
    frozen: Teacher = construct(Frozen, options, path=spec.path)
    return frozen


def _frozen(spec: ModelSpec, context: TeacherContext) -> Teacher:
    frozen = base_teacher(spec, context)
    names = spec.weighted.classes(spec) if spec.has_weights else None
    if names is None or list(names) == list(context.classes):
        return frozen
    mapped: Teacher = construct(
        MapClasses, {"teacher": frozen, "classes": names, "to": context.classes}, path=spec.path
    )
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
    further = {key: source for find in _further for key, source in find().items()}
    return {**_sources, **{key: source for key, source in further.items() if key not in _sources}}
