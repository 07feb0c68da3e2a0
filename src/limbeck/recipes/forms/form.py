"""What a form of a model has to say. Everything else in a recipe knows models through this alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from limbeck.core import Teacher
from limbeck.errors import RecipeError
from limbeck.recipes.options import construct, resolve_options
from limbeck.recipes.reading import READING_OPTIONS, check_taps, reading
from limbeck.tasks import Task
from limbeck.teachers import Frozen

__all__ = [
    "Form",
    "OwnWeights",
    "Parts",
    "Section",
    "Spec",
    "Workshop",
    "add_forms",
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
    """

    task: type[Task]
    name: str
    path: str
    options: dict[str, Any]
    train: Any
    objective: Any
    reading: Spec

    def read(self) -> dict[str, Any]:
        """How the board reads it, with every default written out.

        Raises:
            RecipeError: with the place in the recipe.
        """
        resolved = resolve_options(_Reading, self.reading, path=self.path, name=self.path)
        check_taps(resolved["taps"], f"{self.path}.taps")
        return resolved

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
    """

    task: Task
    objects: Mapping[str, nn.Module]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What teachers on the board are made of.

    Args:
        recipe: as `resolve` gives it.
        models: those with weights of their own, by name.
        differentiated: the names of those that a loss differentiates.
    """

    recipe: Spec
    models: Mapping[str, nn.Module]
    differentiated: Collection[str] = ()

    def teacher(self, name: str) -> Teacher:
        """The teacher that stands for a model.

        Raises:
            RecipeError: with the place in the recipe.
        """
        return form_of(self.recipe["models"][name]).teacher(name, self)


class Form(ABC):
    """One form that a section under ``models`` may have, told by its key."""

    key: ClassVar[str]
    may_need_learners: ClassVar[bool] = False
    """Whether it may be made of models that are training in the same steps."""

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

    def is_drawn(self, spec: Spec) -> bool:
        """Whether section and seed alone decide its initial weights."""
        return False

    def teacher(self, name: str, parts: Parts) -> Teacher:
        path, model = f"models.{name}", parts.models[name]
        read = reading(model, parts.recipe["models"][name], path)
        options = {"model": model, **read, "differentiable": name in parts.differentiated}
        frozen: Frozen = construct(Frozen, options, path=path)
        return frozen

    def speaks(self, spec: Spec) -> dict[str, Any]:
        # All else decides the weights, which are told by keys.
        return {key: spec[key] for key in READING_OPTIONS if key != "call"}


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
