"""The interface of adapters, which change a student while it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from limbeck.errors import RecipeError
from limbeck.tasks import Task

__all__ = [
    "Adapter",
    "AdapterContext",
    "Spec",
    "adapter_needs",
    "adapter_of",
    "add_adapters",
    "base_spec",
    "resolve_adapter",
    "take_adapter_options",
]

Spec = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class AdapterContext:
    """What an adapter is built from.

    Args:
        task: with the data loaded.
        models: the other models with weights of their own, by name.
    """

    task: Task
    models: Mapping[str, nn.Module]

    def images(self, path: str) -> Tensor:
        """One image, for adapters of convolutional layers.

        Raises:
            RecipeError: if the task has texts.
        """
        inputs = self.task.example["inputs"]
        if not isinstance(inputs, Tensor):
            raise RecipeError(
                f"{path}: its layers are convolutions on maps of images, and this student reads tokens; leave it out"
            )
        return inputs


class Adapter(ABC):
    """One kind of adapter, identified by its key in the student's section."""

    key: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()
    """Further keys of the adapter."""
    may_finetune: ClassVar[bool] = False
    """Whether the student keeps it during fine-tuning on hard labels."""

    @abstractmethod
    def resolve(self, given: Spec, path: str) -> dict[str, Any]:
        """Its keys with every default written out.

        Raises:
            RecipeError: if anything in them cannot be right.
        """

    @abstractmethod
    def apply(self, model: nn.Module, spec: Spec, context: AdapterContext, path: str) -> nn.Module:
        """The model with the adapter, as it is trained.

        Raises:
            RecipeError: if it does not fit.
        """

    def shipped(
        self, model: nn.Module, weights: Mapping[str, Tensor], spec: Spec, context: AdapterContext, path: str
    ) -> dict[str, nn.Module]:
        """The models to evaluate and ship: the whole student under ``""``, and parts of it by name.

        Args:
            model: the base model, without the adapter.
            weights: of the trained model.
            spec: the resolved section.
            context: as for `apply`.
            path: where the section stands, for errors.
        """
        adapted = self.apply(model, spec, context, path)
        adapted.load_state_dict(weights)
        return {"": adapted}

    def needs(self, spec: Spec) -> tuple[str, ...]:
        """The other models that it takes modules from."""
        return ()

    def adds(self, spec: Spec) -> tuple[str, ...]:
        """The names of the outputs that it adds to the model."""
        return ()

    def describe(self, part: str, spec: Spec, models: Mapping[str, Spec | None]) -> Spec | None:
        """The keys in addition to the base model's from which `rebuilt` builds a shipped part; None if none can.

        Args:
            part: as `shipped` calls it.
            spec: the resolved section.
            models: the sections that build what it needs, by name; None for what no section builds.
        """
        return {}


_adapters: dict[str, Adapter] = {}


def add_adapters(*added: Adapter) -> None:
    """Register these kinds of adapters."""
    _adapters.update({adapter.key: adapter for adapter in added})


def adapter_of(spec: Spec) -> Adapter | None:
    """The adapter of the student of a resolved section."""
    return next((adapter for key, adapter in _adapters.items() if key in spec), None)


def take_adapter_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take the keys of adapters out of a model's section."""
    keys = [key for adapter in _adapters.values() if adapter.key in options for key in (adapter.key, *adapter.beside)]
    return {key: options.pop(key) for key in keys if key in options}


def resolve_adapter(name: str, given: Spec, path: str) -> dict[str, Any]:
    """The keys of the adapter with every default written out.

    Raises:
        RecipeError: if the model is not the student, or there are several kinds.
    """
    given_adapters = [adapter for key, adapter in _adapters.items() if key in given]
    if not given_adapters:
        return {}
    if name != "student":
        raise RecipeError(f"{path}.{given_adapters[0].key}: {', '.join(_adapters)} are for the student; remove it")
    if len(given_adapters) > 1:
        raise RecipeError(
            f"{path} has {' and '.join(adapter.key for adapter in given_adapters)}; a student takes one of them"
        )
    return given_adapters[0].resolve(given, path)


def base_spec(spec: Spec) -> dict[str, Any]:
    """The section of a student without its adapter."""
    adapter = adapter_of(spec)
    gone = () if adapter is None else (adapter.key, *adapter.beside)
    return {key: value for key, value in spec.items() if key not in gone}


def adapter_needs(name: str, spec: Spec) -> Iterator[tuple[str, str]]:
    """The models that a student's adapter takes modules from, and the places in the recipe that name them."""
    adapter = adapter_of(spec)
    if adapter is not None:
        for other in adapter.needs(spec):
            yield other, f"models.{name}.{adapter.key}"
