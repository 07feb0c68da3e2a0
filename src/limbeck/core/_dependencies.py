"""Which models run, and in which order."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from limbeck.core.addresses import Address, check_name, source_of
from limbeck.core.taps import Tapped
from limbeck.core.term import Term
from limbeck.errors import ArgumentError, suggest

__all__ = ["check_kinds", "check_names", "check_separate", "ordered"]


def check_names(students: Collection[str], terms: Collection[str], teachers: Collection[str]) -> None:
    """Refuse names that no address could hold, that are taken twice, and a step without student or term."""
    for kind, names in (("student", students), ("term", terms), ("teacher", teachers)):
        for name in names:
            check_name(kind, name)
    for name in teachers:
        if name in students:
            raise ArgumentError(
                f"{name!r} names a student and a teacher; every source on the board has its own name",
                code="duplicate",
                path=f"teachers.{name}",
            )
    if "batch" in students or "batch" in teachers:
        raise ArgumentError(
            "'batch' is the name of the batch; choose another name for the model", code="in_use", path="students"
        )
    if not students or not terms:
        raise ArgumentError(
            "a Distiller needs at least one student and at least one term",
            code="missing",
            path="terms" if students else "student",
        )


def check_kinds(terms: Mapping[str, object], teachers: Mapping[str, object]) -> None:
    """Refuse losses and models that nobody has wrapped."""
    for name, term in terms.items():
        if not isinstance(term, Term):
            raise ArgumentError(
                f"term {name!r} is a {type(term).__name__}; wrap the loss: Term({type(term).__name__}())",
                code="wrong_type",
                path=f"terms.{name}",
            )
    for name, teacher in teachers.items():
        if not hasattr(teacher, "reads"):
            raise ArgumentError(
                f"teacher {name!r} is a {type(teacher).__name__}, which has no property reads; "
                "wrap the model: Frozen(model)",
                code="wrong_type",
                path=f"teachers.{name}",
            )


def check_separate(students: Mapping[str, Tapped], teachers: Mapping[str, Any]) -> None:
    """Refuse a module with parameters or buffers that a student and a teacher share: only one of them may train it.

    Parameters that separate modules share, as tied weights do, are no such module.
    """
    owners = {
        id(module): (name, path)
        for name, student in students.items()
        for path, module in student.model.named_modules()
        if _has_state(module)
    }
    for name, teacher in teachers.items():
        for module in _modules_of(teacher):
            if id(module) in owners:
                student, path = owners[id(module)]
                where = f"the module {path!r}" if path else "the whole model"
                raise ArgumentError(
                    f"student {student!r} and teacher {name!r} share {where}: the teacher would be trained, or the "
                    "student frozen; give one of them a copy.deepcopy, or train both as students",
                    code="conflict",
                    path=f"teachers.{name}",
                )


def _has_state(module: nn.Module) -> bool:
    return any(True for _ in itertools.chain(module.parameters(), module.buffers()))


def _modules_of(teacher: Any) -> Iterator[nn.Module]:
    """The modules of a teacher, and of models that it hides, as a frozen one does."""
    for part in teacher.modules() if isinstance(teacher, nn.Module) else ():
        yield part
        hidden = getattr(part, "model", None) if hasattr(part, "reads") else None
        if isinstance(hidden, nn.Module):
            yield from hidden.modules()


def ordered(students: Mapping[str, Tapped], terms: Mapping[str, Term], teachers: Mapping[str, Any]) -> tuple[str, ...]:
    """All students, and the teachers that a term or student needs, each after those that it reads itself."""
    reads = {
        **{name: (f"student {name!r}", student.input_addresses) for name, student in students.items()},
        **{name: (f"teacher {name!r}", teacher.reads) for name, teacher in teachers.items()},
    }
    known = ("batch", *reads)
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        reader, addresses = reads[name]
        follow(reader, addresses, (*above, name))
        if name not in order:
            order.append(name)

    def follow(reader: str, addresses: Iterable[Address], above: tuple[str, ...]) -> None:
        for address in addresses:
            source = _check_source(reader, address, known)
            if source in above:
                raise ArgumentError(
                    f"models read each other in a circle: {' -> '.join((*above, source))}",
                    code="cycle",
                    path=f"teachers.{source}",
                )
            if source in reads and source not in order:
                visit(source, above)

    for name in students:
        visit(name, ())
    for name, term in terms.items():
        follow(f"term {name!r}", term.addresses, ())
    used = tuple(order)
    # The others never run, but what they read must exist as well.
    for name in teachers:
        visit(name, ())
    return used


def _check_source(reader: str, address: Address, known: Collection[str]) -> str:
    source = source_of(address)
    if source not in known:
        raise ArgumentError.at(reader, f"no source {source!r}.{suggest(source, known)}", code="unknown_name")
    return source
