"""The terms of the control: those that no teacher has a part in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from limbeck.core import Schedule, source_of
from limbeck.recipes.entry_spec import EntrySpec
from limbeck.recipes.term_spec import Objective, TermSpec, parse_objective

__all__ = ["hard_terms", "normalize_weights", "supervised_terms"]


def hard_terms(hard: Mapping[str, Any], main: str = "logits") -> dict[str, TermSpec]:
    """The default hard terms of a task, on every row whose label is known; ``main`` is its main output."""
    return parse_objective(hard, "scoring.hard", main=main)


def supervised_terms(
    objective: Objective, lacking: Collection[str], judges: Collection[str] = ()
) -> dict[str, TermSpec]:
    """The terms that read the bare student and the batch alone, their weights summing to 1; none if there are none.

    Terms that read judges keep their weights, and so do all others beside them: players of a game balance each other.

    Args:
        objective: of the student.
        lacking: the outputs that the student has from its adapter, which the control lacks.
        judges: the models that read outputs of the student and stand by no teacher, such as a discriminator.
    """
    chosen = {name: term for name, term in objective.items() if term.weight != 0 and _supervises(term, lacking, judges)}
    if any(term.sources for term in chosen.values()):
        return chosen
    if len(chosen) == 1:
        return {name: replace(term, weight=1.0) for name, term in chosen.items()}
    weights = {name: term.weight for name, term in chosen.items() if isinstance(term.weight, int | float)}
    if len(weights) < len(chosen):
        # The sum changes from step to step: `normalize_weights` divides by it.
        return chosen
    total = sum(weights.values())
    return {name: replace(term, weight=weights[name] / total) for name, term in chosen.items()}


def _supervises(term: TermSpec, lacking: Collection[str], judges: Collection[str]) -> bool:
    if any(address.split(".")[:2] == ["student", output] for address in term.addresses for output in lacking):
        return False
    if term.sources:
        return all(source in judges for source in term.sources)
    return "batch" in map(source_of, term.inputs.values())


def normalize_weights(terms: Objective) -> Objective:
    """The terms with their weights divided by the sum of all weights at every step."""
    if not any(isinstance(term.weight, EntrySpec) for term in terms.values()):
        return terms
    schedules = {name: term.schedule for name, term in terms.items()}
    together = tuple(schedules.values())
    return {name: replace(term, weight=_Share(schedules[name], together)) for name, term in terms.items()}


@dataclass(frozen=True)
class _Share:
    """One schedule over the sum of all."""

    own: Schedule
    together: Sequence[Schedule]

    def __call__(self, step: int) -> float:
        total = sum(schedule(step) for schedule in self.together)
        return self.own(step) / total if total else 1 / len(self.together)
