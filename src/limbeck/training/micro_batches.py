"""A batch on its device, in the parts that are computed one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from limbeck.core import Ragged, map_rows, map_tensors

__all__ = ["micro_batches"]

# Bytes, of every tensor that torch allocates on a CPU.
_alignment = 64


def micro_batches(batch: Mapping[str, Any], parts: int, device: torch.device) -> list[dict[str, Any]]:
    """The batch in this many parts of equal size, with everything in it: tensors, `Ragged`, and nests of them.

    >>> batch = {"row": torch.arange(4), "cached": {"teacher": {"logits": torch.eye(4)}}}
    >>> first, second = micro_batches(batch, 2, torch.device("cpu"))
    >>> second["row"], second["cached"]["teacher"]["logits"].shape
    (tensor([2, 3]), torch.Size([2, 4]))
    """
    if parts == 1:
        return [map_tensors(batch, _moved, device)]
    whole = map_rows(batch, _moved_if_dense, device)
    return [map_rows(whole, _part, number, parts, device) for number in range(parts)]


def _moved_if_dense(value: Tensor | Ragged, device: torch.device) -> Tensor | Ragged:
    # Ragged rows are split before they move: reading offsets from a device would wait for it.
    return value if isinstance(value, Ragged) else _moved(value, device)


def _part(value: Tensor | Ragged, number: int, parts: int, device: torch.device) -> Tensor | Ragged:
    part = value.chunk(parts)[number]
    return part.map(_moved, device) if isinstance(part, Ragged) else part


def _moved(value: Tensor, device: torch.device) -> Tensor:
    return _aligned(value.to(device, non_blocking=True))


def _aligned(value: Tensor) -> Tensor:
    # A batch cut out of a larger tensor may begin elsewhere after a resume, and at another alignment kernels add up in
    # another order.
    return value if value.data_ptr() % _alignment == 0 else value.clone()
