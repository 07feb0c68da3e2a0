"""The terms of an objective: their sections, the addresses that they read, and the objects."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import limbeck.losses  # noqa: F401  # registers them
from limbeck import registry
from limbeck.core import Address, Schedule, Term, source_of
from limbeck.core.binding import arguments, default_address
from limbeck.errors import RecipeError, suggest
from limbeck.recipes.adapters import adapter_of
from limbeck.recipes.objective_macros import expand_macros
from limbeck.recipes.options import FROM_TRAIN, construct, resolve_options, resolve_use
from limbeck.registry import Entry

__all__ = [
    "build_term",
    "hard_terms",
    "is_read",
    "is_taught",
    "normalize_weights",
    "read_of",
    "resolve_objective",
    "sources",
    "supervised_terms",
]

Spec = Mapping[str, Any]


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


def resolve_objective(
    terms: Spec, path: str, mask_address: Address | None = None, main: str = "logits"
) -> dict[str, Any]:
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
    return {name: _resolved(spec, f"{path}.{name}", mask_address, main) for name, spec in written.items()}


def _resolved(spec: Any, path: str, mask_address: Address | None, main: str) -> dict[str, Any]:
    if not isinstance(spec, Mapping):
        raise RecipeError(
            f"{path} is {spec!r}; a term is {{loss, inputs, weight, where, scale, detach, classes, gather}}"
        )
    term = resolve_options(_Term, spec, path=path, name="a term")
    if term["classes"] is not None:
        term["classes"] = [str(name) for name in term["classes"]]
    term["loss"] = resolve_use(["loss"], term["loss"], f"{path}.loss")
    if main != "logits":
        term["inputs"] = _default_inputs(term["loss"]["use"], term["inputs"] or {}, main)
    if term["where"] is None and mask_address is not None and _reads_logits_alone(term, path):
        term["where"] = mask_address
    return term


def _default_inputs(loss: str, given: Mapping[str, Address], main: str) -> dict[str, Address]:
    """The addresses of a term, with those that an argument has by default where its main output is called so."""
    defaults = {argument: default_address(argument, main) for argument in arguments(registry.lookup("loss", loss))}
    return {argument: address for argument, address in {**defaults, **given}.items() if address is not None}


def _reads_logits_alone(spec: Spec, path: str) -> bool:
    """Not the labels, which say themselves what counts."""
    addresses = build_term(spec, path).inputs.values()
    return all(address.partition(".")[2] == "logits" and source_of(address) != "batch" for address in addresses)


def build_term(spec: Spec, path: str, train: Spec | None = None, classes: Sequence[str] = ()) -> Term:
    """The term of a resolved recipe.

    Args:
        spec: its section.
        path: where it stands, for errors.
        train: the settings that it trains with; None where it is only asked what it reads and weighs.
        classes: of the task; none where likewise.

    Raises:
        RecipeError: if it cannot be built, or names a class that the task does not have.
    """
    supplied = {name: 1 if train is None else train[name] for name in FROM_TRAIN}
    given, place = spec["loss"], f"{path}.loss"
    entry = construct(registry.lookup, {"kind": "loss", "name": given["use"]}, path=place)
    own = {key: value for key, value in given.items() if key != "use"}
    loss = construct(entry, own, path=place, supplied=supplied)
    options = {key: value for key, value in spec.items() if key not in ("loss", "classes")}
    if classes and spec["classes"] is not None:
        options["classes"] = [_place(name, classes, path) for name in spec["classes"]]
    term: Term = construct(Term, {"loss": loss, **options}, path=path)
    return term


def _place(name: str, classes: Sequence[str], path: str) -> int:
    if name not in classes:
        raise RecipeError(f"{path}.classes: the data has no class {name!r}.{suggest(name, classes)}")
    return classes.index(name)


def sources(terms: Mapping[str, Spec], path: str) -> Iterator[tuple[str, str]]:
    """What terms read beside the batch and the learner, and where they say so."""
    for name, spec in terms.items():
        place = f"{path}.{name}"
        for source in dict.fromkeys(map(source_of, build_term(spec, place).addresses)):
            if source not in ("batch", "student"):
                yield source, place


def is_read(name: str, terms: Mapping[str, Spec]) -> bool:
    """Whether a term reads this model itself, rather than one that needs it."""
    return any(name == source for source, _ in sources(terms, "objective"))


def read_of(name: str, terms: Mapping[str, Spec]) -> set[str]:
    """The outputs and taps of a model that terms name, and the names on the way to them."""
    addresses = [address for key, spec in terms.items() for address in build_term(spec, f"objective.{key}").addresses]
    return {part for address in addresses if source_of(address) == name for part in address.split(".")[1:]}


def is_taught(terms: Mapping[str, Spec]) -> bool:
    """Whether a term reads anything beside the batch and the learner."""
    return any(True for _ in sources(terms, "objective"))


def supervised_terms(recipe: Spec, hard: Spec, main: str = "logits") -> dict[str, Spec]:
    """The terms of the control: those that read the bare student and the batch alone, their weights summing to 1.

    Without any, they are these hard terms, the default ones of the task; ``main`` is its main output.
    """
    section = recipe["models"]["student"]
    adapter = adapter_of(section)
    lacking = () if adapter is None else adapter.adds(section)
    chosen = {
        name: spec
        for name, spec in recipe["objective"].items()
        if spec["weight"] != 0 and _supervises(spec, name, lacking)
    }
    if not chosen:
        return hard_terms(hard, main)
    weights = [spec["weight"] for spec in chosen.values()]
    if len(chosen) == 1:
        return {name: {**spec, "weight": 1.0} for name, spec in chosen.items()}
    if any(isinstance(weight, Mapping) for weight in weights):
        # The sum changes from step to step: `normalize_weights` divides by it.
        return chosen
    return {name: {**spec, "weight": spec["weight"] / sum(weights)} for name, spec in chosen.items()}


def _supervises(spec: Spec, name: str, lacking: Collection[str]) -> bool:
    term = build_term(spec, f"objective.{name}")
    if any(address.split(".")[:2] == ["student", output] for address in term.addresses for output in lacking):
        return False
    read = {source_of(address) for address in term.inputs.values()}
    return "batch" in read and {source_of(address) for address in term.addresses} <= {"batch", "student"}


def hard_terms(hard: Spec, main: str = "logits") -> dict[str, Spec]:
    """The default hard terms of a task, on every row whose label is known, with every default written out."""
    return resolve_objective(hard, "scoring.hard", main=main)


def normalize_weights(terms: Mapping[str, Spec]) -> Mapping[str, Spec]:
    """The terms with their weights divided by the sum of all weights at every step."""
    if not any(isinstance(spec["weight"], Mapping) for spec in terms.values()):
        return terms
    schedules = {name: build_term(spec, f"objective.{name}").schedule for name, spec in terms.items()}
    together = tuple(schedules.values())
    return {name: {**spec, "weight": _Share(schedules[name], together)} for name, spec in terms.items()}


@dataclass(frozen=True)
class _Share:
    """One schedule over the sum of all."""

    own: Schedule
    together: Sequence[Schedule]

    def __call__(self, step: int) -> float:
        total = sum(schedule(step) for schedule in self.together)
        return self.own(step) / total if total else 1 / len(self.together)
