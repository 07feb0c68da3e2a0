"""Outputs and labels of all rows at once, to compare with other libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.tasks import Task

Arrays = dict[str, NDArray[Any]]


def outputs_and_labels(task: Task, read: Callable[[Any], Mapping[str, Any]], rows: Any) -> tuple[Arrays, Arrays]:
    """What the metrics of a task read of these rows, in their order; batches of fewer words are filled with -100."""
    numbers, outputs, labels = [], [], []
    for batch in task.evaluation(rows):
        numbers.append(batch["row"].numpy())
        outputs.append(task.measured(read(batch), batch))
        labels.append(task.labels(batch))
    order = np.argsort(np.concatenate(numbers), kind="stable")
    return _joined(outputs, order), _joined(labels, order)


def _joined(parts: Sequence[Arrays], order: NDArray[np.int64]) -> Arrays:
    return {name: np.concatenate(_alike([part[name] for part in parts]))[order] for name in parts[0]}


def _alike(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    longest = np.max([array.shape[1:] for array in arrays], axis=0).astype(int)
    padded = []
    for array in arrays:
        behind = [(0, int(length) - size) for length, size in zip(longest, array.shape[1:], strict=True)]
        padded.append(np.pad(array, [(0, 0), *behind], constant_values=-100))
    return padded
