"""The statistics of one model, collected batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.measure.metric import Floats, Integers, Labels, Metric, OfMeans, Outputs
from limbeck.measure.scoring import Scoring
from limbeck.measure.tables import Table

__all__ = ["Accumulator", "Score", "as_arrays", "count_rows", "main_score"]


class Score(NamedTuple):
    """The value of a metric, and its direction."""

    name: str
    value: float
    higher_is_better: bool


def as_arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as float64 or int64 arrays; lists, whose entries differ in shape from row to row, as they are."""
    kinds = {"f": np.float64, "i": np.int64, "u": np.int64}
    return {
        name: value.astype(kinds.get(value.dtype.kind, value.dtype), copy=False)
        if isinstance(value, np.ndarray)
        else value
        for name, value in values.items()
    }


def count_rows(outputs: Outputs, labels: Labels) -> int:
    """The number of rows of a batch.

    Raises:
        ArgumentError: if outputs and labels have different numbers of rows, or there are no outputs.
    """
    lengths = {name: len(value) for values in (outputs, labels) for name, value in values.items()}
    if not outputs or len(set(lengths.values())) != 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items()) or "none"
        raise ArgumentError(
            f"evaluation: numbers of rows differ ({found}); give outputs and labels of the same rows", code="mismatch"
        )
    return next(iter(lengths.values()))


class Accumulator:
    """The statistics of one instance of a model.

    Rows may come in any order, where each batch says which rows it holds. Outputs are not held, except those to keep.

    Args:
        metrics: by name; those that need a reference are given one with every batch.
        tables: by key.
        keep: the names of outputs to keep.
        check: raises an ArgumentError for outputs that do not fit the labels.
        label: of the model, in error messages.
        optional: the names of outputs that may be NaN throughout: a model that does not give them.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric[Any]],
        *,
        tables: Mapping[str, Table] | None = None,
        keep: Sequence[str] = (),
        check: Callable[[Outputs, Labels], None] | None = None,
        label: str = "the model",
        optional: Sequence[str] = (),
    ) -> None:
        self.metrics = metrics
        self.label = label
        self._tables = tables or {}
        self._optional = optional
        self._keep = keep
        self._check = check
        self._rows: list[Integers] = []
        self._parts: dict[str, list[Any]] = {name: [] for name in metrics}
        self._entries: dict[str, list[tuple[Integers, Floats]]] = {name: [] for name in self._tables}
        self._kept: dict[str, list[Any]] = {name: [] for name in keep}

    def update(
        self, outputs: Outputs, labels: Labels, reference: Outputs | None = None, rows: Integers | None = None
    ) -> None:
        """Add a batch.

        Args:
            outputs: of the model.
            labels: of the rows.
            reference: the outputs of the reference for these rows.
            rows: the numbers of these rows in the data set; if None, they follow the rows so far.

        Raises:
            ArgumentError: for numbers of rows that differ, outputs that are not finite or do not fit the labels, or a
                metric that reads an output or label which is not there.
        """
        outputs, labels = as_arrays(outputs), as_arrays(labels)
        reference = None if reference is None else as_arrays(reference)
        count = count_rows(outputs, labels)
        rows = np.arange(len(self), len(self) + count) if rows is None else np.asarray(rows, np.int64)
        self._check_finite(outputs, rows)
        if self._check is not None:
            self._check(outputs, labels)
        for name, metric in self.metrics.items():
            self._parts[name].append(self._statistics(metric, outputs, labels, reference))
        for name, table in self._tables.items():
            row, entries = table.entries(outputs, labels)
            self._entries[name].append((rows[row], entries))
        for name in self._keep:
            self._kept[name].extend(outputs[name])
        self._rows.append(rows)

    def _check_finite(self, outputs: Outputs, rows: Integers) -> None:
        for name, value in outputs.items():
            if name in self._optional and np.isnan(value).all():
                continue
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
                finite = np.isfinite(value).reshape(len(value), -1).all(axis=1)
                raise ArgumentError(
                    f"evaluate: {name} of {self.label} are not finite (first in row {rows[~finite][0]}); train with a "
                    "smaller learning rate, or look for bad input",
                    code="not_finite",
                    path=name,
                )

    def _statistics(self, metric: Metric[Any], outputs: Outputs, labels: Labels, reference: Outputs | None) -> Any:
        try:
            return metric.statistics(outputs, labels, reference)
        except KeyError as error:
            raise ArgumentError(
                f"metric {metric.name}: it reads {error}, which is not among the outputs ({', '.join(outputs)}) and "
                f"labels ({', '.join(labels)}) of {self.label.rstrip(',')}; leave the metric out",
                code="unknown_name",
                path="metrics",
            ) from error

    def __len__(self) -> int:
        return sum(map(len, self._rows))

    @property
    def rows(self) -> Integers:
        """The numbers of the rows, in the order in which they came."""
        return np.concatenate(self._rows) if self._rows else np.empty(0, np.int64)

    def statistics(self, name: str) -> Any:
        """The statistics of a metric, in the order in which rows came; those of an `OfMeans` in the order of rows."""
        metric = self.metrics[name]
        joined = metric.join(self._parts[name])
        if isinstance(metric, OfMeans) and not _ascends(self.rows):
            return joined[np.argsort(self.rows, kind="stable")]
        return joined

    def score(self, name: str) -> float:
        """The value of a metric on all rows."""
        metric, statistics = self.metrics[name], self.statistics(name)
        if isinstance(metric, OfMeans):
            return float(metric.of_means(np.mean(statistics, axis=0)))
        return float(metric.value(statistics, np.ones((1, len(self))))[0])

    def entries(self, name: str) -> Floats:
        """The entries of a table, in the order of rows."""
        row, entries = (np.concatenate(parts) for parts in zip(*self._entries[name], strict=True))
        return entries if _ascends(row) else entries[np.argsort(row, kind="stable")]

    def kept(self, name: str) -> list[NDArray[Any]]:
        """A kept output, one entry for each row, in the order of rows."""
        return [self._kept[name][place] for place in np.argsort(self.rows, kind="stable")]


def _ascends(rows: Integers) -> bool:
    return bool((rows[1:] >= rows[:-1]).all())


def main_score(scoring: Scoring, outputs: Outputs, labels: Labels) -> Score:
    """The metric that decides, for the outputs of a model on all rows; it must not need a reference.

    >>> from limbeck.measure import single_label_scoring
    >>> main_score(single_label_scoring(2), {"logits": np.eye(2)}, {"target": np.array([0, 0])})
    Score(name='accuracy', value=0.5, higher_is_better=True)
    """
    metric = scoring.main
    name = metric.name
    accumulator = Accumulator({name: metric}, optional=scoring.optional)
    accumulator.update(outputs, labels)
    return Score(name, accumulator.score(name), metric.higher_is_better)
