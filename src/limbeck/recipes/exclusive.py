"""What is for classes of which one holds, where any number may, or the other way round: refused before it trains."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from limbeck import registry
from limbeck.core import Distiller, Term
from limbeck.errors import RecipeError
from limbeck.measure import Scoring

__all__ = ["check_exclusive"]


def check_exclusive(distiller: Distiller, scoring: Scoring) -> None:
    """Refuse losses of logits, and teachers, that take one class a row where there are several, and the contrary.

    A loss or teacher says so by ``exclusive``; one that does not fits both.

    Raises:
        RecipeError: with the term or the teacher, and what to take in its place.
    """
    for place, name, part in _parts(distiller):
        found = getattr(part, "exclusive", None)
        if found is None or found == scoring.exclusive:
            continue
        if scoring.exclusive:
            raise RecipeError(
                f"{place}: {name} is for rows of several classes, and these have one; {_instead(scoring)}"
            )
        raise RecipeError(f"{place}: {name} is for rows of one class, and these may have several; {_instead(scoring)}")


def _parts(distiller: Distiller) -> Iterator[tuple[str, str, object]]:
    for name, term in distiller.terms.items():
        if _reads_classes(term):
            yield f"objective.{name}", _registered("loss", term.loss), term.loss
    for name, teacher in distiller.teachers.items():
        # Those that it is made of as well.
        for part in teacher.modules() if isinstance(teacher, nn.Module) else (teacher,):
            yield f"models.{name}", _registered("teacher", part), part


def _reads_classes(term: Term) -> bool:
    """Whether it reads the last logits or the labels; a softmax over anything else has its own meaning."""
    return any(address == "batch.target" or address.endswith(".logits") for address in term.inputs.values())


def _registered(kind: str, part: object) -> str:
    known = (name for name in registry.names(kind) if registry.lookup(kind, name) is type(part))
    return next(known, type(part).__name__)


def _instead(scoring: Scoring) -> str:
    soft = "kl_divergence" if scoring.exclusive else "binary_kd"
    return f"take {scoring.loss} for labels and {soft} for a teacher"
