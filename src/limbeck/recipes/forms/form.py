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
from limbeck.recipes.forms.outfit import OUTFIT, with_confidence
from limbeck.recipes.options import construct, resolve_options
from limbeck.recipes.reading import check_taps, reading
from limbeck.tasks import Task
from limbeck.teachers import Cached, Frozen, MapClasses, Peer

__all__ = [
    "Form",
    "OwnWeights",
    "Parts",
    "Section",
    "Spec",
    "Workshop",
    "add_forms",
    "bare",
    "form_of",
    "forms",
    "has_weights",
    "own_form",
]

Spec = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Reading:
    taps: Any = field(default_factory=dict)
    inputs: str = "batch.inputs"
    call: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Section:
    """What a recipe says of one model.

    Args:
        task: which one the recipe is for.
        name: under ``models``.
        path: where it stands, for errors.
        options: all but what follows.
        train: how it learns, as the recipe says it; None if it does not.
        objective: by which terms, likewise.
        reading: ``taps``, ``inputs`` and ``call``, where they are given.
        outfit: ``classes``, ``preprocess`` and ``confidence``, resolved, where they are given.
    """

    task: type[Task]
    name: str
    path: str
    options: dict[str, Any]
    train: Any
    objective: Any
    reading: Spec
    outfit: Spec

    def read(self) -> dict[str, Any]:
        """How the board reads it, with every default written out.

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
        """The section of a form without weights of its own: the options of one constructor.

        Args:
            key: of the form.
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
class Workshop:
    """What a model with weights of its own is made in.

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
class Parts:
    """What teachers on the board are made of.

    Args:
        recipe: as `resolve` gives it.
        classes: of the task.
        models: those with weights, by name.
        learners: the names of those that train in the same steps.
        differentiated: the names of those that a loss differentiates.
        kept: what a training that is over has left in teachers, by name.
        cached: the names of those whose outputs the batch brings along.
    """

    recipe: Spec
    classes: Sequence[str]
    models: Mapping[str, nn.Module]
    learners: Collection[str] = ()
    differentiated: Collection[str] = ()
    kept: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    cached: Collection[str] = ()
    _made: dict[str, Teacher] = field(default_factory=dict, init=False)

    def teacher(self, name: str) -> Teacher:
        """The teacher that stands for a model; the same one whenever it is asked for.

        Raises:
            RecipeError: with the place in the recipe.
        """
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def options(self, name: str) -> dict[str, Any]:
        """The section of a model without what any teacher may have."""
        return {key: value for key, value in self.recipe["models"][name].items() if key not in OUTFIT}

    def _make(self, name: str) -> Teacher:
        if name in self.learners:
            return Peer(name)
        spec = self.recipe["models"][name]
        teacher = _frozen(name, self) if name in self.models else form_of(spec).teacher(name, self)
        return with_confidence(teacher, spec, f"models.{name}")


class Form(ABC):
    """One form that a section under ``models`` may have, told by its key."""

    key: ClassVar[str]
    may_need_student: ClassVar[bool] = False
    """Whether it may be made of the student."""

    @abstractmethod
    def resolve(self, section: Section) -> dict[str, Any]:
        """The section with every default written out.

        Raises:
            RecipeError: if anything in it cannot be right.
        """

    @abstractmethod
    def teacher(self, name: str, parts: Parts) -> Teacher:
        """The teacher that stands for the section of this name."""

    def needs(self, spec: Spec) -> tuple[str, ...]:
        """The models that it is made of."""
        return ()

    def reads(self, spec: Spec) -> tuple[str, ...]:
        """Of these, those that must stand on the board themselves."""
        return ()

    def is_model(self, spec: Spec) -> bool:
        """Whether it gives logits for images alone when all training is over."""
        return True

    def learns(self, spec: Spec) -> bool:
        """Whether training leaves something in its teacher."""
        return False

    def follows(self, spec: Spec) -> str | None:
        """The learner whose weights those are that training leaves in it; None if it leaves no such weights."""
        return None

    def left(self, teacher: Teacher) -> dict[str, Tensor]:
        """What training has left in its teacher that is to be kept with the weights of the student."""
        return {}

    def speaks(self, spec: Spec) -> dict[str, Any]:
        """Of a resolved section, what decides its outputs beside weights."""
        return {key: value for key, value in spec.items() if key != "call"}


class OwnWeights(Form):
    """A form of models with weights of their own."""

    @abstractmethod
    def initial(self, spec: Spec, workshop: Workshop, *, seed: int, path: str) -> nn.Module:
        """The model before this run trains it.

        Raises:
            RecipeError: if it cannot be made.
        """

    @abstractmethod
    def architecture(self, spec: Spec, path: str) -> Spec | None:
        """The section with ``use`` that builds the model again; None if no section does."""

    def classes(self, spec: Spec, path: str) -> Sequence[str] | None:
        """What its logits stand for; None if that is the classes of the task."""
        named: Sequence[str] | None = spec.get("classes")
        return named

    def is_drawn(self, spec: Spec) -> bool:
        """Whether section and seed alone decide its initial weights."""
        return False

    def teacher(self, name: str, parts: Parts) -> Teacher:
        return _frozen(name, parts)

    def speaks(self, spec: Spec) -> dict[str, Any]:
        # All else decides the weights, which are told by keys.
        return {key: spec[key] for key in ("taps", "inputs", "classes") if key in spec}


def bare(name: str, parts: Parts) -> Teacher:
    """A model with weights as a teacher, without what its section puts around any teacher: what a cache holds of it."""
    if name in parts.cached:
        return Cached(name)
    specs, path, model = parts.recipe["models"], f"models.{name}", parts.models[name]
    # What training has left of a learner is read as that was.
    read = reading(model, specs[form_of(specs[name]).follows(specs[name]) or name], path)
    options = {"model": model, **read, "differentiable": name in parts.differentiated}
    frozen: Teacher = construct(Frozen, options, path=path)
    return frozen


def _frozen(name: str, parts: Parts) -> Teacher:
    spec, path, frozen = parts.recipe["models"][name], f"models.{name}", bare(name, parts)
    names = own_form(spec).classes(spec, path) if has_weights(spec) else None
    if names is None or list(names) == list(parts.classes):
        return frozen
    mapped: Teacher = construct(MapClasses, {"teacher": frozen, "classes": names, "to": parts.classes}, path=path)
    return mapped


_forms: dict[str, Form] = {}


def add_forms(*added: Form) -> None:
    """Let sections have these forms."""
    _forms.update({form.key: form for form in added})


def forms() -> dict[str, Form]:
    """All forms by key."""
    return dict(_forms)


def form_of(spec: Spec) -> Form:
    """The form of a resolved section."""
    return next(form for key, form in _forms.items() if key in spec)


def has_weights(spec: Spec) -> bool:
    """Whether a section describes a model with weights of its own, rather than one made of others."""
    return isinstance(form_of(spec), OwnWeights)


def own_form(spec: Spec) -> OwnWeights:
    """The form of a resolved section that describes a model with weights of its own."""
    form = form_of(spec)
    assert isinstance(form, OwnWeights)
    return form
