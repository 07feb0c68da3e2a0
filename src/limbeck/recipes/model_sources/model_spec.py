"""The section of one model of a recipe, parsed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from limbeck.core import Address
from limbeck.errors import RecipeError
from limbeck.recipes.co_training import CoTraining
from limbeck.recipes.model_io import ModelIO
from limbeck.recipes.term_spec import Objective, sources_of
from limbeck.training.settings import Settings

if TYPE_CHECKING:
    from limbeck.recipes.adapters import Adapter
    from limbeck.recipes.model_sources.model_source import ModelSource, WeightedModel

__all__ = ["Learning", "ModelSpec"]


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How a model beside the student learns.

    Args:
        train: the settings of a training of its own.
        co_training: how it trains together with the student.
        objective: the terms of a training of its own; None for the hard terms of the task.
    """

    train: Settings | None = None
    co_training: CoTraining | None = None
    objective: Objective | None = None

    def to_dict(self) -> dict[str, Any]:
        """As a recipe has it."""
        train = None if self.train is None else asdict(self.train)
        return {
            "train": train if self.co_training is None else self.co_training.to_dict(),
            "objective": None
            if self.objective is None
            else {name: term.to_dict() for name, term in self.objective.items()},
        }


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A section under ``models``.

    Args:
        name: of the section.
        source: where the model comes from.
        options: of the source.
        io: its taps, inputs and call arguments; None for one that is made of others.
        learning: how it learns; None for the student, and for models that no recipe trains.
        wrappers: ``classes``, ``preprocess`` and ``confidence``, where they are given.
        adapter: the changes to the student while it trains.
        adapter_options: the options of the adapter.
    """

    name: str
    source: ModelSource
    options: Mapping[str, Any]
    io: ModelIO | None = None
    learning: Learning | None = None
    wrappers: Mapping[str, Any] = field(default_factory=dict)
    adapter: Adapter | None = None
    adapter_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Its place in the recipe, for errors."""
        return f"models.{self.name}"

    @property
    def taps(self) -> Any:
        """The paths of modules by the names of its taps."""
        return {} if self.io is None else self.io.taps

    @property
    def inputs(self) -> Address:
        """The address of its inputs; of a model that reads several, that of the first."""
        inputs = (self.io or ModelIO()).inputs
        return inputs if isinstance(inputs, str) else next(iter(inputs.values()))

    def reads(self, address: Address) -> bool:
        """Whether this is the address of its inputs."""
        return (self.io or ModelIO()).inputs == address

    @property
    def input_sources(self) -> tuple[str, ...]:
        """The models whose outputs it reads as its inputs."""
        return () if self.io is None else self.io.sources

    @property
    def train(self) -> Settings | None:
        """The settings of a training of its own; None if it has none."""
        return None if self.learning is None else self.learning.train

    @property
    def co_training(self) -> CoTraining | None:
        """How it trains together with the student; None if it does not."""
        return None if self.learning is None else self.learning.co_training

    @property
    def objective(self) -> Objective | None:
        """The terms of a training of its own."""
        return None if self.learning is None else self.learning.objective

    @property
    def classes(self) -> Sequence[str] | None:
        """The classes that the recipe names for its logits."""
        return self.wrappers.get("classes")

    @property
    def confidence(self) -> float | None:
        """The probability from which its outputs count as confident."""
        return self.wrappers.get("confidence")

    @property
    def has_weights(self) -> bool:
        """Whether it is a model with weights of its own, rather than one made of others."""
        return self.source.has_weights

    @property
    def weighted(self) -> WeightedModel:
        """The source of a model with weights of its own."""
        source: Any = self.source
        assert source.has_weights, self.path
        found: WeightedModel = source
        return found

    @property
    def needs(self) -> tuple[str, ...]:
        """The models that it is built from."""
        return self.source.needs(self)

    @cached_property
    def references(self) -> tuple[tuple[str, str], ...]:
        """The models that it needs to compute its outputs, and the places in the recipe that name them.

        Raises:
            RecipeError: if one is the student, and it cannot be.
        """
        path = f"{self.path}.{self.source.key}"
        if "student" in self.needs and not self.source.may_need_student:
            raise RecipeError.at(path, "the student cannot be a member, as it learns from it", code="cycle")
        return (*((name, path) for name in self.needs), *sources_of(self.objective or {}))

    def adapter_needs(self) -> Iterator[tuple[str, str]]:
        """The models that its adapter takes modules from, and the places in the recipe that name them."""
        if self.adapter is not None:
            for other in self.adapter.needs(self):
                yield other, f"{self.path}.{self.adapter.key}"

    @property
    def adds(self) -> tuple[str, ...]:
        """The names of the outputs that its adapter adds."""
        return () if self.adapter is None else self.adapter.adds(self)

    @property
    def without_adapter(self) -> Self:
        """The same without its adapter."""
        return replace(self, adapter=None, adapter_options={})

    def with_io(self, **changes: Any) -> Self:
        """The same with other taps or inputs."""
        return self if self.io is None else replace(self, io=replace(self.io, **changes))

    def with_taps_of(self, names: Collection[str]) -> Self:
        """The same with those of its taps that have one of these names."""
        # A word in their place is refused when the model is read.
        if not isinstance(self.taps, Mapping):
            return self
        return self.with_io(taps={tap: path for tap, path in self.taps.items() if tap in names})

    @property
    def weights_key(self) -> dict[str, Any]:
        """What decides its initial weights beside the seed, and how they are called."""
        wrappers = {option: value for option, value in self.wrappers.items() if option != "confidence"}
        call = {} if self.io is None else {"call": self.io.call}
        return {**self.options, **call, **wrappers, **self.adapter_options}

    def to_dict(self) -> dict[str, Any]:
        """As a recipe has it, every default written out."""
        return {
            **self.options,
            **({} if self.learning is None else self.learning.to_dict()),
            **({} if self.io is None else asdict(self.io)),
            **self.wrappers,
            **self.adapter_options,
        }
