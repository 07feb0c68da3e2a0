"""Metrics that are functions of other metrics, such as the forgetting of a model that learns one task after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.measure.metric import Floats, MetricInfo

__all__ = ["Derived", "final_average", "forgetting"]


@dataclass(frozen=True)
class Derived:
    """A function of metrics of one or several models.

    It is computed on all rows and in each draw of the bootstrap, from the values of the same draw: the draws keep what
    the metrics have in common, so that the interval is that of the function itself.

    Args:
        info: its name, title and direction.
        of: pairs of a model and the name of one of its metrics.
        function: of their values, ``[len(of), …]`` to ``[…]``, elementwise over the other axes.

    >>> pair = [("a", "accuracy"), ("b", "accuracy")]
    >>> gap = Derived(MetricInfo("gap", "gap"), pair, lambda values: values[0] - values[1])
    >>> float(gap.function(np.array([0.9, 0.7])).round(3))
    0.2
    """

    info: MetricInfo
    of: Sequence[tuple[str, str]]
    function: Callable[[Floats], Floats]


def forgetting(models: Sequence[str], metrics: Sequence[str]) -> Derived:
    r"""How much of each task was lost by learning the later ones.

    .. math:: \frac{1}{T-1} \sum_{j<T} \max_{i<T} A_{ij} - A_{Tj}

    with :math:`A_{ij}` the share of right rows of task j after learning task i.

    Args:
        models: the model after each of T tasks, in order.
        metrics: the accuracy on the rows of each task.

    Raises:
        ArgumentError: for fewer than two tasks, or another number of metrics than of models.

    >>> A = np.array([[0.9, 0.1], [0.6, 0.8]])
    >>> float(forgetting(["after_1", "after_2"], ["accuracy_1", "accuracy_2"]).function(A.reshape(4)).round(3))
    0.3

    Chaudhry, Dokania, Ajanthan and Torr, 2018, "Riemannian Walk for Incremental Learning", arXiv:1801.10112.
    """
    tasks = _tasks(models, metrics)

    def function(values: Floats) -> Floats:
        matrix = values.reshape(tasks, tasks, *values.shape[1:])
        lost = matrix[:-1, :-1].max(axis=0) - matrix[-1, :-1]
        return np.asarray(lost.mean(axis=0), np.float64)

    info = MetricInfo("forgetting", "forgetting", higher_is_better=False, is_share=True, bounds=(-1.0, 1.0))
    return Derived(info, [(model, metric) for model in models for metric in metrics], function)


def final_average(models: Sequence[str], metrics: Sequence[str]) -> Derived:
    """The mean over tasks of the accuracy of the last model.

    Args:
        models: the model after each of T tasks, in order.
        metrics: the accuracy on the rows of each task.

    Raises:
        ArgumentError: as `forgetting`.
    """
    _tasks(models, metrics)
    info = MetricInfo("final_average", "average accuracy after the last task", is_share=True, bounds=(0.0, 1.0))
    return Derived(info, [(models[-1], metric) for metric in metrics], lambda values: values.mean(axis=0))


def _tasks(models: Sequence[str], metrics: Sequence[str]) -> int:
    if len(models) != len(metrics) or len(models) < 2:
        raise ArgumentError(
            f"forgetting: {len(models)} models and {len(metrics)} metrics; give the model after each task and the "
            "metric of each task, at least two",
            code="mismatch",
            path="models",
        )
    return len(models)
