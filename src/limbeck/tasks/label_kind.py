"""Rejects losses and teachers whose label type is not that of the data: one class per row, or any number."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from limbeck import registry
from limbeck.core import Distiller, Term
from limbeck.errors import RecipeError
from limbeck.measure import ClassScoring, Scoring

__all__ = ["check_label_kind"]


def check_label_kind(distiller: Distiller, scoring: Scoring) -> None:
    """Reject losses of logits and teachers for one class per row where rows may have several, and the reverse.

    The attribute ``exclusive`` of a loss or teacher states its label type; without it, both types fit.

    Raises:
        RecipeError: with the term or the teacher, and what to use instead.
    """
    if not isinstance(scoring, ClassScoring):
        return
    is_exclusive = scoring.label_kind == "single_label"
    for place, name, part in _parts(distiller):
        found = getattr(part, "exclusive", None)
        if found is None or found == is_exclusive:
            continue
        if is_exclusive:
            raise RecipeError.at(
                place,
                f"{name} is for rows of several classes, and these have one; {_instead(scoring)}",
                code="unsupported",
            )
        raise RecipeError.at(
            place,
            f"{name} is for rows of one class, and these may have several; {_instead(scoring)}",
            code="unsupported",
        )


def _parts(distiller: Distiller) -> Iterator[tuple[str, str, object]]:
    for name, term in distiller.terms.items():
        if _reads_classes(term):
            yield f"objective.{name}", _registered("loss", term.loss), term.loss
    for name, teacher in distiller.teachers.items():
        # Including its members.
        for part in teacher.modules() if isinstance(teacher, nn.Module) else (teacher,):
            yield f"models.{name}", _registered("teacher", part), part


def _reads_classes(term: Term) -> bool:
    """Whether it reads logits or labels; a softmax over anything else is independent of the label type."""
    return any(address == "batch.target" or address.endswith(".logits") for address in term.inputs.values())


def _registered(kind: str, part: object) -> str:
    known = (name for name in registry.names(kind) if registry.lookup(kind, name) is type(part))
    return next(known, type(part).__name__)


def _instead(scoring: ClassScoring) -> str:
    soft = "kl_divergence" if scoring.label_kind == "single_label" else "binary_kd"
    (hard,) = (term["loss"] for term in scoring.hard.values())
    return f"take {hard} for labels and {soft} for a teacher"
