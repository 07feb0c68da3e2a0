"""The terms of an objective: their sections, the addresses that they read, and the objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import limbeck.losses  # noqa: F401  # registers them
from limbeck.core import Address, Schedule, Term, source_of
from limbeck.core.binding import bind
from limbeck.core.schedules import as_schedule
from limbeck.errors import RecipeError, suggest
from limbeck.recipes.entry_spec import EntrySpec, parse_entry
from limbeck.recipes.objective_macros import expand_macros
from limbeck.recipes.options import FROM_TRAIN, construct, resolve_options
from limbeck.registry import Entry
from limbeck.training.settings import Settings

__all__ = ["Objective", "TermSpec", "parse_objective", "sources_of"]


@dataclass(frozen=True, kw_only=True)
class _Term:
    loss: Any
    inputs: Mapping[str, str] | None = None
    weight: Annotated[float, Entry("schedule")] = 1.0
    where: str | None = None
    scale: str | None = None
    detach: tuple[str, ...] | None = None
    classes: tuple[str | int, ...] | None = None
    gather: bool = False


@dataclass(frozen=True, kw_only=True)
class TermSpec:
    """One term of an objective. It states what it reads without building the loss.

    Args:
        name: in the objective.
        path: where the recipe has it, for errors.
        loss: the loss and its options.
        given: the addresses that the recipe gives, by argument; None for none.
        inputs: the addresses of all arguments.
        weight: a number, a schedule of the recipe, or a schedule.
        where: the address of the mask.
        scale: the address of the factors.
        detach: the arguments through which no gradient flows.
        classes: the names of the classes that the teacher knows.
        gather: whether pairs are taken over the rows of all processes.
    """

    name: str
    path: str
    loss: EntrySpec
    given: Mapping[str, Address] | None
    inputs: Mapping[str, Address]
    weight: float | EntrySpec | Schedule = 1.0
    where: Address | None = None
    scale: Address | None = None
    detach: Sequence[str] | None = None
    classes: Sequence[str] | None = None
    gather: bool = False

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Everything that it reads."""
        return (*self.inputs.values(), *filter(None, (self.where, self.scale)))

    @property
    def places(self) -> Iterator[tuple[Address, str]]:
        """Everything that it reads, each with the place in the recipe that says so."""
        yield from ((address, f"{self.path}.inputs.{argument}") for argument, address in self.inputs.items())
        for option in ("where", "scale"):
            if getattr(self, option) is not None:
                yield getattr(self, option), f"{self.path}.{option}"

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The models that it reads beside the learner called ``student``."""
        found = dict.fromkeys(map(source_of, self.addresses))
        return tuple(source for source in found if source not in ("batch", "student"))

    @cached_property
    def differentiates(self) -> bool:
        """Whether the loss differentiates what it reads."""
        return bool(getattr(self.loss.entry, "differentiates", ()))

    @property
    def schedule(self) -> Schedule:
        """The weight at every step."""
        return as_schedule(self.weight.build() if isinstance(self.weight, EntrySpec) else self.weight)

    def build(self, train: Settings, classes: Sequence[str] = (), inputs: Mapping[str, Address] | None = None) -> Term:
        """The term.

        Args:
            train: the settings that it trains with.
            classes: of the task; none where a recipe's names of classes have no meaning.
            inputs: its addresses, where they are others in the models than in the recipe.

        Raises:
            RecipeError: if it cannot be built, or names a class that the task does not have.
        """
        supplied = {name: getattr(train, name) for name in FROM_TRAIN}
        options: dict[str, Any] = {
            "loss": self.loss.build(supplied),
            "inputs": self.inputs if inputs is None else inputs,
            "weight": self.weight.build(supplied) if isinstance(self.weight, EntrySpec) else self.weight,
            **{option: getattr(self, option) for option in ("where", "scale", "detach", "gather")},
        }
        if classes and self.classes is not None:
            options["classes"] = [self._position(name, classes) for name in self.classes]
        term: Term = construct(Term, options, path=self.path)
        return term

    def _position(self, name: str, classes: Sequence[str]) -> int:
        if name not in classes:
            raise RecipeError.at(
                f"{self.path}.classes", f"the data has no class {name!r}.{suggest(name, classes)}", code="unknown_name"
            )
        return classes.index(name)

    def to_dict(self) -> dict[str, Any]:
        """As a recipe has it, every default written out."""
        weight = self.weight.to_dict() if isinstance(self.weight, EntrySpec) else self.weight
        return {
            "loss": self.loss.to_dict(),
            "inputs": None if self.given is None else dict(self.given),
            "weight": weight,
            "where": self.where,
            "scale": self.scale,
            "detach": None if self.detach is None else list(self.detach),
            "classes": None if self.classes is None else list(self.classes),
            "gather": self.gather,
        }


Objective = Mapping[str, TermSpec]
"""Terms by name."""


def parse_objective(
    terms: Mapping[str, Any], path: str, mask_address: Address | None = None, main: str = "logits"
) -> dict[str, TermSpec]:
    """An objective with every default written out.

    Args:
        terms: as the recipe has them.
        path: where it has them, for errors.
        mask_address: the address of the mask of terms that read logits alone and have no ``where``.
        main: the main output of the task's models, which ``student`` and ``teacher`` read by default.

    Raises:
        RecipeError: with the place in the recipe.
    """
    written = expand_macros(terms, path)
    return {name: _parse(name, section, f"{path}.{name}", mask_address, main) for name, section in written.items()}


def _parse(name: str, section: Any, path: str, mask_address: Address | None, main: str) -> TermSpec:
    if not isinstance(section, Mapping):
        raise RecipeError(
            f"{path} is {section!r}; a term is {{loss, inputs, weight, where, scale, detach, classes, gather}}",
            code="wrong_type",
            path=path,
        )
    options = resolve_options(_Term, section, path=path, name="a term")
    loss = parse_entry(["loss"], options.pop("loss"), f"{path}.loss")
    given, weight, classes = options.pop("inputs"), options.pop("weight"), options.pop("classes")
    # A loss that is registered as a function states its arguments once it is built.
    reads = loss.entry if isinstance(loss.entry, type) else loss.build(dict.fromkeys(FROM_TRAIN, 1))
    inputs = construct(bind, {"loss": reads, "inputs": given or {}, "main": main}, path=path)
    if isinstance(weight, Mapping):
        weight = parse_entry(["schedule"], weight, f"{path}.weight", supplied=FROM_TRAIN)
    if options["where"] is None and mask_address is not None and _are_logits(inputs.values()):
        options["where"] = mask_address
    return TermSpec(
        name=name,
        path=path,
        loss=loss,
        # Another main output than logits is not the default of `Term`: it is written out.
        given=given if main == "logits" else inputs,
        inputs=inputs,
        weight=weight,
        classes=None if classes is None else [str(each) for each in classes],
        **options,
    )


def _are_logits(addresses: Iterator[Address] | Any) -> bool:
    """Not the labels, which say themselves what counts."""
    return all(address.partition(".")[2] == "logits" and source_of(address) != "batch" for address in addresses)


def sources_of(terms: Objective) -> Iterator[tuple[str, str]]:
    """The models that terms read beside the learner, and the places in the recipe that name them."""
    for term in terms.values():
        for source in term.sources:
            yield source, next(place for address, place in term.places if source_of(address) == source)
