"""Rejects terms whose loss is not one of predicted numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from limbeck import registry
from limbeck.core import Term
from limbeck.errors import ArgumentError

__all__ = ["check_number_terms"]


def check_number_terms(terms: Mapping[str, Term], outputs: Collection[str], levels: Sequence[float]) -> None:
    """Reject losses of class scores on predicted numbers, and losses of other quantiles than the models predict.

    Args:
        terms: by name.
        outputs: the names of the outputs that are numbers.
        levels: the levels of the quantiles that models predict.

    Raises:
        ArgumentError: with the name of the term, and what to use instead.
    """
    for name, term in terms.items():
        numbers = list(_read_numbers(term, outputs))
        if numbers and _is_of_classes(term):
            loss = registry.name_of("loss", type(term.loss)) or type(term.loss).__name__
            raise ArgumentError(
                f"objective.{name}: {loss} compares scores of classes, and {numbers[0]} holds numbers; take "
                f"squared_error{' or pinball' if levels else ''} (from a teacher: inputs: {{target: teacher.value}})",
                code="unsupported",
                path=f"terms.{name}",
            )
        of_loss, read = getattr(term.loss, "quantiles", None), term.inputs.get("student", "")
        if of_loss is not None and read.endswith(".quantiles") and tuple(of_loss) != tuple(levels):
            raise ArgumentError(
                f"objective.{name}: the loss is of the quantiles {list(of_loss)}, and data.quantiles are "
                f"{list(levels)}; write the same for both",
                code="mismatch",
                path=f"terms.{name}.quantiles",
            )


def _read_numbers(term: Term, outputs: Collection[str]) -> Iterator[str]:
    """The addresses of a term at which predicted numbers or their labels are."""
    for address in term.inputs.values():
        source, _, output = address.partition(".")
        if (output in outputs and source != "batch") or address == "batch.target":
            yield address


def _is_of_classes(term: Term) -> bool:
    """Whether a loss compares softmaxes or yes-or-no decisions: it says so, or has a temperature."""
    return getattr(term.loss, "exclusive", None) is not None or hasattr(term.loss, "current_temperature")
