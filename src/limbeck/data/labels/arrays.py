"""From the labels found in a file to class names and class numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.data.labels.classes import UNKNOWN
from limbeck.errors import DataError

__all__ = ["class_names", "class_numbers"]


def class_names(labels: NDArray[Any]) -> tuple[str, ...]:
    """The distinct labels in rising order, as text; -100 stands for an unknown label and is none.

    >>> class_names(np.array([3, 10, 3, -100]))
    ('3', '10')
    """
    return tuple(str(label) for label in np.unique(labels) if label != UNKNOWN)


def class_numbers(labels: NDArray[Any], classes: tuple[str, ...], *, origin: str) -> Tensor:
    """For each label the number of its class; -100 stays -100.

    Args:
        labels: integers or text, `[N]`.
        classes: the names of the classes.
        origin: where the labels come from, for the message.

    Returns:
        int64 `[N]`.

    Raises:
        DataError: if a label is no class.

    >>> class_numbers(np.array([10, 3, -100]), ("3", "10"), origin="labels")
    tensor([   1,    0, -100])
    """
    numbers = {name: number for number, name in enumerate(classes)} | {str(UNKNOWN): UNKNOWN}
    distinct, inverse = np.unique(labels, return_inverse=True)
    unknown = [str(label) for label in distinct if str(label) not in numbers]
    if unknown:
        raise DataError.at(
            origin,
            f"label {unknown[0]!r} does not occur in the training labels; expected one of {classes}",
            code="unknown_name",
        )
    lookup = np.array([numbers[str(label)] for label in distinct], dtype=np.int64)
    return torch.from_numpy(lookup[inverse.reshape(-1)])
