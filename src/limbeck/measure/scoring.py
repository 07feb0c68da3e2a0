"""How the models of a task are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from limbeck import registry
from limbeck.errors import ArgumentError
from limbeck.measure.metric import Floats, Integers, Labels, Metric, Outputs
from limbeck.measure.tables import Table

__all__ = ["ClassScoring", "LabelKind", "Scoring"]

LabelKind = Literal["single_label", "multi_label"]


def _accept(outputs: Outputs, labels: Labels) -> None:
    """Accept any outputs and labels."""


@dataclass(frozen=True)
class Scoring:
    """The metrics of a task, and the loss of models that have no teacher.

    Args:
        hard: the terms on labels that are used where a recipe names none, as an ``objective`` has them.
        metrics: the first decides: which epoch is best, and whether distillation helped.
        units: the unit of each of these rows, ``[N]``, as whole numbers. The bootstrap draws units, such as documents
            or queries, with all of their rows. None if every row is a unit.
        keep: the names of outputs that are stored for calibration, the comparison of INT8 files and examples.
        tables: what else is computed of a model, by its key in ``results.json``; None is written as an empty list.
        check: raises an ArgumentError for outputs that do not fit the labels of the same rows.
        known: the number of known labels in a batch; an evaluation without any is refused. None if all are known.
        optional: the names of outputs that a model may not give; they are then NaN throughout.
        adapt: makes a metric by name, which was made for single rows, fit for these outputs and labels.

    Raises:
        ArgumentError: if there is no metric, or the first one compares with a reference: validation has none.
    """

    hard: Mapping[str, Any]
    metrics: Sequence[Metric[Any]]
    units: Callable[[Any], Integers] | None = None
    keep: Sequence[str] = ()
    tables: Mapping[str, Table | None] = field(default_factory=lambda: MappingProxyType({}))
    check: Callable[[Outputs, Labels], None] = _accept
    known: Callable[[Labels], int] | None = None
    adapt: Callable[[Metric[Any]], Metric[Any]] | None = None
    optional: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ArgumentError.at("metrics", "expected at least one, got none; the first decides", code="missing")
        if self.main.needs_reference:
            raise ArgumentError.at(
                "metrics",
                f"the first, {self.main.name}, compares with a teacher, and validation has none; put a metric "
                "of the labels first",
                code="unsupported",
            )

    @property
    def main(self) -> Metric[Any]:
        """The metric that decides."""
        return self.metrics[0]

    def metric(self, name: str) -> Metric[Any]:
        """The metric of this name: one of the scoring, or a registered one.

        Raises:
            LimbeckError: if there is none.
        """
        for own in self.metrics:
            if own.name == name:
                return own
        cls = registry.lookup("metric", name)
        try:
            metric: Metric[Any] = cls()
        except TypeError as error:
            raise ArgumentError(
                f"metric {name!r} has arguments without a default, so its name is not enough; in Python, give an "
                "instance of it",
                code="missing",
                path="metrics",
            ) from error
        return metric if self.adapt is None else self.adapt(metric)

    def with_metrics(self, metrics: Sequence[str | Metric[Any]]) -> Scoring:
        """The same with other metrics, of which the first decides.

        Raises:
            LimbeckError: for a name that does not exist or is there twice, and as the constructor.
        """
        chosen = tuple(self.metric(metric) if isinstance(metric, str) else metric for metric in metrics)
        names = [metric.name for metric in chosen]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ArgumentError.at("metrics", f"{twice[0]!r} is there twice; name each metric once", code="duplicate")
        return replace(self, metrics=chosen)


@dataclass(frozen=True)
class ClassScoring(Scoring):
    """The scoring of classifiers.

    Args:
        label_kind: whether rows have exactly one class, so that logits are those of a softmax, or any number of them.
        probabilities: the probabilities that outputs stand for, by which an INT8 file is compared with its model.
    """

    label_kind: LabelKind = "single_label"
    probabilities: Callable[[Outputs], Floats] = field(kw_only=True)
