"""Classes and their probabilities, from logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.export.predictors.prediction import Prediction
from limbeck.export.session import Session

__all__ = ["above_half", "class_predictions", "most_likely", "sigmoid", "softmax"]


def class_predictions(outputs: dict[str, NDArray[Any]], session: Session) -> list[Prediction] | None:
    """The classes of each row, from the main output of a file and the names of its last axis.

    The metadata entry ``problem_type``, with the words of Hugging Face's configurations, says whether a row has one
    class or any number of classes. Without it, the outputs are no scores of classes, whatever they are called.

    Returns:
        The predictions; None where the main output does not score classes.
    """
    predict = _by_problem_type.get(session.metadata.get("problem_type", ""))
    if predict is None or session.main not in session.names:
        return None
    return predict(outputs[session.main], session.names[session.main])


def most_likely(logits: NDArray[Any], classes: Sequence[str]) -> list[Prediction]:
    """The ``class`` of each row, and the ``probabilities`` of all classes.

    >>> most_likely(np.zeros((1, 2)), ["cat", "dog"])[0].line
    'cat  0.5000'
    """
    predictions = []
    for row in softmax(logits):
        name = classes[int(row.argmax())]
        probabilities = dict(zip(classes, row.tolist(), strict=True))
        predictions.append(Prediction({"class": name, "probabilities": probabilities}, f"{name}  {row.max():.4f}"))
    return predictions


def above_half(logits: NDArray[Any], classes: Sequence[str]) -> list[Prediction]:
    """The ``classes`` of each row whose probability is above one half, and the ``probabilities`` of all classes.

    >>> above_half(np.array([[2.0, -1.0], [-1.0, -1.0]]), ["war", "trade"])[0].line
    'war 0.8808'
    """
    predictions = []
    for row in sigmoid(logits):
        probabilities = dict(zip(classes, row.tolist(), strict=True))
        likely = sorted((name for name, p in probabilities.items() if p > 0.5), key=lambda name: -probabilities[name])
        line = ", ".join(f"{name} {probabilities[name]:.4f}" for name in likely) or "(none)"
        predictions.append(Prediction({"classes": likely, "probabilities": probabilities}, line))
    return predictions


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Over the last axis, in float64.

    >>> softmax(np.zeros(2)).tolist()
    [0.5, 0.5]
    """
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(np.exp(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))), np.float64)


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """``1 / (1 + exp(−z))``, in float64.

    >>> sigmoid(np.array([-1e4, 0.0])).tolist()
    [0.0, 0.5]
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64))), np.float64)


_by_problem_type = {"single_label_classification": most_likely, "multi_label_classification": above_half}
