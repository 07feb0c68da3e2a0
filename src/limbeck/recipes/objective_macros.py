"""What stands for several terms in an objective."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from limbeck.core import source_of
from limbeck.core.binding import arguments, default_address
from limbeck.errors import RecipeError
from limbeck.recipes.options import lookup, resolve_options

__all__ = ["expand_macros"]

Spec = Mapping[str, Any]


def expand_macros(terms: Spec, path: str) -> dict[str, Any]:
    """The terms of an objective, each with a name of its own.

    ``{loss: …, each: [student, a]}`` is the same term for each of these learners: its addresses at the student become
    addresses at the learner. ``{mutual: [student, a], temperature: 1.0, weight: 1.0}`` is what `mutual_terms` gives.

    Raises:
        RecipeError: if one of these says it wrongly, or two terms get one name.
    """
    found: dict[str, Any] = {}
    for name, spec in terms.items():
        for own, term in _expanded(name, spec, f"{path}.{name}"):
            if own in found:
                raise RecipeError(
                    f"{path}.{name} stands for a term {own!r}, which is there already; rename it",
                    code="duplicate",
                    path=f"{path}.{name}",
                )
            found[own] = term
    return found


def _expanded(name: str, spec: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(spec, Mapping) and "mutual" in spec:
        yield from _mutual(name, spec, path)
    elif isinstance(spec, Mapping) and "each" in spec:
        for learner in _learners(spec["each"], 1, f"{path}.each"):
            own = name if learner == "student" else f"{name}_{learner}"
            yield own, _of(learner, {key: value for key, value in spec.items() if key != "each"}, path)
    else:
        yield name, spec


def _of(learner: str, spec: Spec, path: str) -> Spec:
    loss = spec.get("loss")
    use = loss.get("use") if isinstance(loss, Mapping) else loss
    if learner == "student" or not isinstance(use, str):
        return spec
    given = spec.get("inputs") or {}
    known = {name: default_address(name) for name in arguments(lookup(["loss"], use, f"{path}.loss"))}
    read = {name: address for name, address in {**known, **given}.items() if address is not None}
    moved = {name: learner + a.removeprefix("student") for name, a in read.items() if source_of(a) == "student"}
    return {**spec, "inputs": {**given, **moved}}


def _options(*, mutual: list[str], temperature: Any = 1.0, weight: float = 1.0, where: str | None = None) -> None: ...


def _mutual(name: str, spec: Spec, path: str) -> Iterator[tuple[str, Any]]:
    found = resolve_options(_options, spec, path=path, name="mutual")
    learners = _learners(found["mutual"], 2, f"{path}.mutual")
    loss = {"use": "kl_divergence", "temperature": found["temperature"]}
    options = {"loss": loss, "weight": found["weight"] / (len(learners) - 1), "where": found["where"]}
    for one in learners:
        for other in learners:
            if other != one:
                inputs = {"student": f"{one}.logits", "teacher": f"{other}.logits"}
                yield f"{name}_{one}_from_{other}", {**options, "inputs": inputs}


def _learners(given: Any, least: int, path: str) -> list[str]:
    good = isinstance(given, list) and all(isinstance(name, str) for name in given)
    if not good or len(given) < least or len(set(given)) < len(given):
        raise RecipeError(
            f"{path} is {given!r}; list at least {least} learners by different names",
            code="wrong_type" if not good else "too_few" if len(given) < least else "duplicate",
            path=path,
        )
    return list(given)
