"""The interface of adapters, which change a student while it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from limbeck.errors import RecipeError
from limbeck.tasks import Task

if TYPE_CHECKING:
    from limbeck.recipes.model_sources.model_spec import ModelSpec

__all__ = [
    "Adapter",
    "AdapterContext",
    "add_adapters",
    "parse_adapter",
    "take_adapter_options",
]


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
            raise RecipeError.at(
                path,
                "its layers are convolutions on maps of images, and this student reads tokens; leave it out",
                code="unsupported",
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
    def resolve(self, given: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Its keys with every default written out.

        Raises:
            RecipeError: if anything in them cannot be right.
        """

    @abstractmethod
    def apply(self, model: nn.Module, spec: ModelSpec, context: AdapterContext) -> nn.Module:
        """The model with the adapter, as it is trained.

        Raises:
            RecipeError: if it does not fit.
        """

    def shipped(
        self, model: nn.Module, weights: Mapping[str, Tensor], spec: ModelSpec, context: AdapterContext
    ) -> dict[str, nn.Module]:
        """The models to evaluate and ship: the whole student under ``""``, and parts of it by name.

        Args:
            model: the base model, without the adapter.
            weights: of the trained model.
            spec: of the student.
            context: as for `apply`.
        """
        adapted = self.apply(model, spec, context)
        adapted.load_state_dict(weights)
        return {"": adapted}

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        """The other models that it takes modules from."""
        return ()

    def adds(self, spec: ModelSpec) -> tuple[str, ...]:
        """The names of the outputs that it adds to the model."""
        return ()

    def describe(
        self, part: str, spec: ModelSpec, models: Mapping[str, Mapping[str, Any] | None]
    ) -> Mapping[str, Any] | None:
        """The keys in addition to the base model's from which `rebuilt` builds a shipped part; None if none can.

        Args:
            part: as `shipped` calls it.
            spec: of the student.
            models: the sections that build what it needs, by name; None for what no section builds.
        """
        return {}


_adapters: dict[str, Adapter] = {}


def add_adapters(*added: Adapter) -> None:
    """Register these kinds of adapters."""
    _adapters.update({adapter.key: adapter for adapter in added})


def take_adapter_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take the keys of adapters out of a model's section."""
    keys = [key for adapter in _adapters.values() if adapter.key in options for key in (adapter.key, *adapter.beside)]
    return {key: options.pop(key) for key in keys if key in options}


def parse_adapter(name: str, given: Mapping[str, Any], path: str) -> tuple[Adapter | None, dict[str, Any]]:
    """The adapter of a section and its keys with every default written out.

    Raises:
        RecipeError: if the model is not the student, or there are several kinds.
    """
    adapters = [adapter for key, adapter in _adapters.items() if key in given]
    if not adapters:
        return None, {}
    if name != "student":
        raise RecipeError.at(
            f"{path}.{adapters[0].key}", f"{', '.join(_adapters)} are for the student; remove it", code="unsupported"
        )
    if len(adapters) > 1:
        raise RecipeError(
            f"{path} has {' and '.join(adapter.key for adapter in adapters)}; a student takes one of them",
            code="conflict",
            path=path,
        )
    return adapters[0], adapters[0].resolve(given, path)
