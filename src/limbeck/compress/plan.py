"""What a compressor plans, and the interface of compressors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from torch import nn

from limbeck.errors import ArgumentError

__all__ = ["CompressionPlan", "Compressor", "LayerPlan", "Measure"]

Measure: TypeAlias = Callable[[nn.Module], float]
"""A number that describes a model, such as its error on validation rows; smaller is better."""


@dataclass(frozen=True)
class LayerPlan:
    """The change of one layer or tensor.

    Args:
        name: its path in the model.
        old_shape: of its weight before.
        new_shape: of its weight after.
        parameters: the number of parameters after.
        bytes: the size of its parameters after, in bytes.

    Raises:
        ArgumentError: if a number is negative.
    """

    name: str
    old_shape: tuple[int, ...]
    new_shape: tuple[int, ...]
    parameters: int
    bytes: int

    def __post_init__(self) -> None:
        if self.parameters < 0 or self.bytes < 0:
            raise ArgumentError(
                f"LayerPlan {self.name!r}: {self.parameters} parameters and {self.bytes} bytes; expected at least 0",
                path="parameters" if self.parameters < 0 else "bytes",
            )


@dataclass(frozen=True)
class CompressionPlan:
    """What a compressor will do to a model, layer by layer. To make it changes nothing.

    Args:
        layers: the layers of the model after the change, each once.

    Raises:
        ArgumentError: if two entries have one name.

    >>> plan = CompressionPlan((LayerPlan("head", (10, 64), (10, 32), parameters=320, bytes=1280),))
    >>> plan.parameters, plan.bytes
    (320, 1280)
    """

    layers: tuple[LayerPlan, ...]

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ArgumentError(
                f"CompressionPlan: the layer {twice[0]!r} is there twice; give each layer once",
                code="duplicate",
                path="layers",
            )

    @property
    def parameters(self) -> int:
        """The number of parameters after the change."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def bytes(self) -> int:
        """The size of all parameters after the change, in bytes."""
        return sum(layer.bytes for layer in self.layers)


class Compressor(Protocol):
    """The configuration of a compressor: a frozen dataclass, registered under the kind ``compressor``."""

    def plan(
        self, model: nn.Module, *, example: Any, measure: Measure | None = None, calibration: Iterable[Any] = ()
    ) -> CompressionPlan:
        """What would change. The model stays as it is.

        Args:
            model: in eval mode.
            example: the input of one real row.
            measure: gives a number for a candidate; None where the compressor needs none.
            calibration: inputs of some training rows, in batches.
        """

    def apply(self, model: nn.Module, plan: CompressionPlan) -> nn.Module:
        """A changed copy of the model, with the shapes, parameters and bytes of the plan."""
