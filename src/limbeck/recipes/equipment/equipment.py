"""What a kind of equipment has to say. Everything else in a recipe knows it through this alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from limbeck.errors import RecipeError
from limbeck.tasks import Task

__all__ = [
    "Bench",
    "Equipment",
    "Spec",
    "add_equipment",
    "bare",
    "equipment_of",
    "needed",
    "resolve_equipment",
    "take_equipment",
]

Spec = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a student is fitted with.

    Args:
        task: with the data loaded.
        models: the other models with weights of their own, by name.
    """

    task: Task
    models: Mapping[str, nn.Module]

    def images(self, path: str) -> Tensor:
        """One image, for equipment that reads maps.

        Raises:
            RecipeError: if the task has texts.
        """
        inputs = self.task.example["inputs"]
        if not isinstance(inputs, Tensor):
            raise RecipeError(
                f"{path}: its layers are convolutions on maps of images, and this student reads tokens; leave it out"
            )
        return inputs


class Equipment(ABC):
    """One kind of equipment, told by its key in the student's section."""

    key: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()
    """Further keys that belong to it."""
    may_finetune: ClassVar[bool] = False
    """Whether the student still wears it in a last stage on hard labels."""

    @abstractmethod
    def resolve(self, given: Spec, path: str) -> dict[str, Any]:
        """Its keys with every default written out.

        Raises:
            RecipeError: if anything in them cannot be right.
        """

    @abstractmethod
    def put_on(self, model: nn.Module, spec: Spec, bench: Bench, path: str) -> nn.Module:
        """The model as it is trained.

        Raises:
            RecipeError: if it does not fit.
        """

    def shipped(
        self, model: nn.Module, weights: Mapping[str, Tensor], spec: Spec, bench: Bench, path: str
    ) -> dict[str, nn.Module]:
        """What there is to measure and to ship: the whole student under ``""``, and parts of it by name.

        Args:
            model: as it is without equipment.
            weights: of the model as it was trained.
            spec: the resolved section.
            bench: as for `put_on`.
            path: where the section stands, for errors.
        """
        worn = self.put_on(model, spec, bench, path)
        worn.load_state_dict(weights)
        return {"": worn}

    def needs(self, spec: Spec) -> tuple[str, ...]:
        """The models that it is made of."""
        return ()

    def adds(self, spec: Spec) -> tuple[str, ...]:
        """The names of outputs that the model without it does not have."""
        return ()

    def describe(self, part: str, spec: Spec, models: Mapping[str, Spec | None]) -> Spec | None:
        """What a section says beside the bare model, for `rebuilt` to make a shipped part again; None if none can.

        Args:
            part: as `shipped` calls it.
            spec: the resolved section.
            models: the sections that build what it needs, by name; None for what no section builds.
        """
        return {}


_kinds: dict[str, Equipment] = {}


def add_equipment(*added: Equipment) -> None:
    """Let students wear these kinds."""
    _kinds.update({kind.key: kind for kind in added})


def equipment_of(spec: Spec) -> Equipment | None:
    """What the student of a resolved section wears."""
    return next((kind for key, kind in _kinds.items() if key in spec), None)


def take_equipment(options: dict[str, Any]) -> dict[str, Any]:
    """Take the keys of equipment out of what a recipe says of a model."""
    own = [key for kind in _kinds.values() if kind.key in options for key in (kind.key, *kind.beside)]
    return {key: options.pop(key) for key in own if key in options}


def resolve_equipment(name: str, given: Spec, path: str) -> dict[str, Any]:
    """The keys of equipment with every default written out.

    Raises:
        RecipeError: if the model is not the student, or there are several kinds.
    """
    said = [kind for key, kind in _kinds.items() if key in given]
    if not said:
        return {}
    if name != "student":
        raise RecipeError(f"{path}.{said[0].key}: {', '.join(_kinds)} are for the student; remove it")
    if len(said) > 1:
        raise RecipeError(f"{path} has {' and '.join(kind.key for kind in said)}; a student takes one of them")
    return said[0].resolve(given, path)


def bare(spec: Spec) -> dict[str, Any]:
    """The section of a student without its equipment."""
    kind = equipment_of(spec)
    gone = () if kind is None else (kind.key, *kind.beside)
    return {key: value for key, value in spec.items() if key not in gone}


def needed(name: str, spec: Spec) -> Iterator[tuple[str, str]]:
    """The models that a student's equipment is made of, and where the recipe says so."""
    kind = equipment_of(spec)
    if kind is not None:
        for other in kind.needs(spec):
            yield other, f"models.{name}.{kind.key}"
