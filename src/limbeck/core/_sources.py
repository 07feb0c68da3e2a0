"""Who fills which place on the board, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from limbeck.core.addresses import Address, check_name, source_of
from limbeck.core.taps import Tapped
from limbeck.core.term import Term
from limbeck.errors import ArgumentError, suggest

__all__ = ["check_kinds", "check_names", "ordered"]


def check_names(students: Collection[str], terms: Collection[str], teachers: Collection[str]) -> None:
    """Refuse names that no address could hold, that are taken twice, and a step without student or term."""
    for kind, names in (("student", students), ("term", terms), ("teacher", teachers)):
        for name in names:
            check_name(kind, name)
    for name in teachers:
        if name in students:
            raise ArgumentError(f"{name!r} names a student and a teacher; every source on the board has its own name")
    if "batch" in students or "batch" in teachers:
        raise ArgumentError("'batch' is the name of the batch; choose another name for the model")
    if not students or not terms:
        raise ArgumentError("a Distiller needs at least one student and at least one term")


def check_kinds(terms: Mapping[str, object], teachers: Mapping[str, object]) -> None:
    """Refuse losses and models that nobody has wrapped."""
    for name, term in terms.items():
        if not isinstance(term, Term):
            raise ArgumentError(
                f"term {name!r} is a {type(term).__name__}; wrap the loss: Term({type(term).__name__}())"
            )
    for name, teacher in teachers.items():
        if not hasattr(teacher, "reads"):
            raise ArgumentError(
                f"teacher {name!r} is a {type(teacher).__name__}, which does not say what it reads; "
                "wrap the model: Frozen(model)"
            )


def ordered(students: Mapping[str, Tapped], terms: Mapping[str, Term], teachers: Mapping[str, Any]) -> tuple[str, ...]:
    """The teachers that some term needs, each after those that it reads itself."""
    known = ["batch"]
    for name, model in students.items():
        _check_source(f"student {name!r} runs before all teachers and later students", model.inputs, known)
        known.append(name)
    known += teachers
    order: list[str] = []

    def visit(reader: str, addresses: Iterable[Address], above: tuple[str, ...]) -> None:
        for address in addresses:
            source = _check_source(reader, address, known)
            if source in above:
                raise ArgumentError(f"teachers read each other in a circle: {' -> '.join((*above, source))}")
            if source in teachers and source not in order:
                visit(f"teacher {source!r}", teachers[source].reads, (*above, source))
                order.append(source)

    for name, term in terms.items():
        visit(f"term {name!r}", term.addresses, ())
    used = tuple(order)
    # The others never run, but what they say must be right as well.
    for name, teacher in teachers.items():
        visit(f"teacher {name!r}", teacher.reads, (name,))
    return used


def _check_source(reader: str, address: Address, known: Collection[str]) -> str:
    source = source_of(address)
    if source not in known:
        raise ArgumentError(f"{reader}: no source {source!r}.{suggest(source, known)}")
    return source
