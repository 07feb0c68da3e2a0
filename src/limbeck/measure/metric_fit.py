"""Whether a metric can be computed from the outputs and labels of a task, found out on a few rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from limbeck.errors import ArgumentError, LimbeckError
from limbeck.measure.accumulator import as_arrays, count_rows
from limbeck.measure.metric import Integers, Labels, Metric, OfMeans, Outputs

__all__ = ["check_fit"]


def check_fit(metric: Metric[Any], outputs: Outputs, labels: Labels, usual: Sequence[str]) -> None:
    """Refuse a metric that is made for other outputs or labels.

    Args:
        metric: to try.
        outputs: of a model, for some rows.
        labels: of these rows.
        usual: the names of the metrics of the task.

    Raises:
        ArgumentError: with the reason and the usual metrics.

    >>> from limbeck.measure import Accuracy
    >>> check_fit(Accuracy(), {"value": np.ones(2)}, {"target": np.ones(2)}, ["rmse"])
    Traceback (most recent call last):
    limbeck.errors.ArgumentError: metrics: 'accuracy' reads 'logits', and there are the outputs value and the labels \
target; the usual metrics are rmse
    """
    outputs, labels = as_arrays(outputs), as_arrays(labels)
    # More rows than any other axis is long, so that no two axes are taken for each other.
    lengths = [length for value in outputs.values() if isinstance(value, np.ndarray) for length in value.shape]
    rows = np.arange(sum(lengths)) % count_rows(outputs, labels)
    outputs, labels = _taken(outputs, rows), _taken(labels, rows)
    name = repr(metric.name)
    try:
        statistics = metric.statistics(outputs, labels, outputs if metric.needs_reference else None)
    except KeyError as error:
        known = f"the outputs {', '.join(outputs)} and the labels {', '.join(labels)}"
        raise _misfit(f"{name} reads {error}, and there are {known}", usual) from error
    except Exception as error:  # of a metric that somebody else wrote
        raise _misfit(f"{name} does not fit these outputs and labels ({_described(error)})", usual) from error
    if isinstance(metric, OfMeans) and np.ndim(statistics) != 2:
        raise _misfit(
            f"{name} has statistics of shape {np.shape(statistics)}; expected [rows, k]",
            usual,
        )


def _misfit(reason: str, usual: Sequence[str]) -> ArgumentError:
    return ArgumentError.at("metrics", f"{reason}; the usual metrics are {', '.join(usual)}", code="unsupported")


def _described(error: Exception) -> str:
    kind = "" if isinstance(error, LimbeckError) else f"{type(error).__name__}: "
    return f"{kind}{error}".partition("\n")[0].rstrip(".")


def _taken(values: Mapping[str, Any], rows: Integers) -> dict[str, Any]:
    return {
        name: value[rows] if isinstance(value, np.ndarray) else [value[row] for row in rows]
        for name, value in values.items()
    }
