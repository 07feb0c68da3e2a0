"""What the models of a task return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from limbeck.core import Address
from limbeck.errors import ArgumentError

__all__ = ["OutputSpec", "check_outputs"]


@dataclass(frozen=True)
class OutputSpec:
    """One named output of a model.

    Args:
        axes: the name of each axis, ``"row"`` first. An axis such as ``"token"`` may have another length in every
            batch: its positions are padded, and ``mask`` says which of them count.
        names: the name of each entry of the last axis, where these have names: the classes of logits.
        mask: the address of the positions that count; None if all do.
        fixed: the names of axes between the first and the last that have the same length in every batch.

    Raises:
        ArgumentError: if the first axis is not ``"row"``.

    >>> OutputSpec(("row", "class"), names=("cat", "dog")).sizes(rows=3)
    [3, 2]
    """

    axes: tuple[str, ...] = ("row",)
    names: Sequence[str] | None = None
    mask: Address | None = None
    fixed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.axes[:1] != ("row",):
            raise ArgumentError(f"OutputSpec: axes are {self.axes}; the first axis of an output is 'row'", path="axes")

    def sizes(self, rows: int) -> list[int | None]:
        """The length of each axis for so many rows; None where it may differ from batch to batch."""
        sizes: list[int | None] = [rows, *(None for _ in self.axes[1:])]
        if self.names is not None:
            sizes[-1] = len(self.names)
        return sizes

    @property
    def export_axes(self) -> tuple[str, ...]:
        """The axes as `limbeck.export.export_onnx` takes them: without a last axis whose entries have names."""
        further = self.axes[1:] if self.names is None else self.axes[1:-1]
        return ("batch", *(axis for axis in further if axis not in self.fixed))


def check_outputs(label: str, outputs: Mapping[str, Any], specs: Mapping[str, OutputSpec], rows: int) -> None:
    """Refuse outputs of a model that are not those of the task.

    Args:
        label: of the model, for the message.
        outputs: for a batch, by name.
        specs: of the task.
        rows: in the batch.

    Raises:
        ArgumentError: if one is missing or has another shape.
    """
    for name, spec in specs.items():
        value, sizes = outputs.get(name), spec.sizes(rows)
        shape = list(value.shape) if isinstance(value, Tensor) else None
        if shape is None or not _fits(shape, sizes):
            expected = ", ".join(
                axis if size is None else str(size) for axis, size in zip(spec.axes, sizes, strict=True)
            )
            given = f"the outputs {sorted(outputs)}" if shape is None else f"{name} of shape {shape}"
            raise ArgumentError(
                f"{label} gives {given} for {rows} row(s); expected {name} of shape [{expected}]",
                code="wrong_shape",
                path=name,
            )


def _fits(shape: Sequence[int], sizes: Sequence[int | None]) -> bool:
    return len(shape) == len(sizes) and all(size in (None, length) for size, length in zip(sizes, shape, strict=True))
