"""A batch on its device, in the parts that are computed one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from limbeck.core.addresses import map_tensors

__all__ = ["micro_batches"]

# Bytes, of every tensor that torch allocates on a CPU.
_alignment = 64


def micro_batches(batch: Mapping[str, Any], parts: int, device: torch.device) -> list[dict[str, Any]]:
    """The batch in this many parts of equal size, with everything in it: tensors, and mappings and tuples of them.

    >>> batch = {"row": torch.arange(4), "cached": {"teacher": {"logits": torch.eye(4)}}}
    >>> first, second = micro_batches(batch, 2, torch.device("cpu"))
    >>> second["row"], second["cached"]["teacher"]["logits"].shape
    (tensor([2, 3]), torch.Size([2, 4]))
    """
    whole: dict[str, Any] = map_tensors(batch, _moved, device)
    return [whole] if parts == 1 else [map_tensors(whole, _part, number, parts) for number in range(parts)]


def _part(value: Tensor, number: int, parts: int) -> Tensor:
    return value.chunk(parts)[number]


def _moved(value: Tensor, device: torch.device) -> Tensor:
    return _aligned(value.to(device, non_blocking=True))


def _aligned(value: Tensor) -> Tensor:
    # A batch cut out of a larger tensor may begin elsewhere after a resume, and at another alignment kernels add up in
    # another order.
    return value if value.data_ptr() % _alignment == 0 else value.clone()
