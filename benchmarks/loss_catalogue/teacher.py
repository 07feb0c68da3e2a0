"""The outputs and taps of a trained teacher on every training row, computed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from limbeck import Frozen
from limbeck.core import Board, Outputs
from limbeck.data import ImageSet, whole

__all__ = ["Stored", "outputs_of"]


class Stored:
    """A teacher that looks its outputs up by ``batch.row``: exact, as the images are not augmented.

    Args:
        outputs: by name, tensors `[N, ...]` of all training rows, or tuples of such tensors.
        names: those that are served.
    """

    reads = ("batch.row",)

    def __init__(self, outputs: Mapping[str, Any], names: Iterable[str]) -> None:
        self.outputs = {name: outputs[name] for name in names}

    def __call__(self, board: Board) -> Outputs:
        row = board["batch"]["row"]
        return {name: _taken(value, row) for name, value in self.outputs.items()}


def _taken(value: Any, row: Tensor) -> Any:
    return tuple(one[row] for one in value) if isinstance(value, tuple) else value[row]


def outputs_of(teacher: Frozen, data: ImageSet, device: torch.device) -> dict[str, Any]:
    """What the teacher gives for every row, in order."""
    parts = [teacher({"batch": {"inputs": batch["inputs"].to(device)}}) for batch in whole(data, 500)]
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], tuple):
        return tuple(torch.cat(layer) for layer in zip(*parts, strict=True))
    return torch.cat(parts)
