"""What models of exactly one class for each row say of new rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.measure import SingleLabel
from limbeck.tasks.task import Prediction

__all__ = ["most_likely"]


def most_likely(logits: NDArray[Any], classes: Sequence[str]) -> list[Prediction]:
    """The ``class`` of each row, and the ``probabilities`` of all classes.

    >>> most_likely(np.zeros((1, 2)), ["cat", "dog"])[0].line
    'cat  0.5000'
    """
    found = []
    for row in SingleLabel().probabilities(logits.astype(np.float64)):
        name = classes[int(row.argmax())]
        probabilities = dict(zip(classes, row.tolist(), strict=True))
        found.append(Prediction({"class": name, "probabilities": probabilities}, f"{name}  {row.max():.4f}"))
    return found
