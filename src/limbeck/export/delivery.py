"""How a task ships its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

from limbeck.errors import ArgumentError

__all__ = ["Delivery", "Parity"]

Parity: TypeAlias = Callable[[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]], float]
"""The difference between the outputs of a model and those of its file, both by name."""


@dataclass(frozen=True)
class Delivery:
    """The exported files of a task, and how they are used.

    Args:
        formats: the formats that a model can be exported as, the default first; if empty, nothing is exported.
        predictor: the function that turns user input into predictions, as ``"module:function"``. It is called as
            ``predict(inputs, pairs, folder, session)`` and returns a `limbeck.export.Prediction` for each input. Its
            module imports no torch, except in a plugin.
        inputs: a description of the inputs of the file, by name. A model that takes a single tensor has one entry; its
            key becomes the name of the input.
        parity: the difference between the outputs of a model and those of its file; if None, the largest absolute
            difference over all outputs, as `limbeck.export.check_parity` computes it.

    Raises:
        ArgumentError: if the predictor is not of the form ``"module:function"``.

    >>> Delivery().predictor
    'limbeck.export.predictors.rows:predict'
    """

    formats: tuple[str, ...] = ("onnx",)
    predictor: str = "limbeck.export.predictors.rows:predict"
    inputs: Mapping[str, str] = field(default_factory=dict)
    parity: Parity | None = None

    def __post_init__(self) -> None:
        module, _, function = self.predictor.partition(":")
        if not module or not function.isidentifier():
            raise ArgumentError(
                f"Delivery: predictor is {self.predictor!r}; expected 'module:function', such as "
                "'limbeck.export.predictors.rows:predict'",
                path="predictor",
                code="wrong_type",
            )
