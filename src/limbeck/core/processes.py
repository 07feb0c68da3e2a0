"""What several processes that train together must agree on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

from limbeck.core.ragged import Ragged
from limbeck.errors import ArgumentError

__all__ = ["gathered", "of_first", "summed", "world_size"]


def world_size() -> int:
    """The number of processes that train together; 1 without torch.distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes, without gradient."""
    if world_size() > 1:
        tensor = tensor.clone()
        distributed.all_reduce(tensor)
    return tensor


def of_first(tensors: Iterable[Tensor]) -> None:
    """Give these tensors, in place, the values that they have on the first process."""
    if world_size() == 1:
        return
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for same in kinds.values():
        # One message for all of a kind.
        values = torch.cat([tensor.reshape(-1) for tensor in same])
        distributed.broadcast(values, 0)
        parts = torch.split(values, [tensor.numel() for tensor in same])
        for tensor, value in zip(same, parts, strict=True):
            tensor.copy_(value.view(tensor.shape))


def gathered(values: Mapping[str, Any], mask: Tensor) -> tuple[dict[str, Any], Tensor]:
    """The rows of all processes, and the mask ``[B]`` of those that count; gradients flow back to every process.

    Processes with fewer rows than others fill up with rows that the mask leaves out. Tensors without axes and values
    that are no tensors stay as they are.

    Raises:
        ArgumentError: if a value is `Ragged`.
    """
    ragged = sorted(argument for argument, value in values.items() if isinstance(value, Ragged))
    if ragged:
        raise ArgumentError(
            f"gather=True: {ragged} hold rows of unequal lengths; pad them, or leave out gather",
            code="unsupported",
            path="gather",
        )
    if world_size() == 1:
        return dict(values), mask
    most = torch.tensor(len(mask), device=mask.device)
    distributed.all_reduce(most, distributed.ReduceOp.MAX)
    rows = int(most)
    everywhere = {
        argument: _all_gather(value, rows) if isinstance(value, Tensor) and value.ndim else value
        for argument, value in values.items()
    }
    return everywhere, _all_gather(mask, rows)


def _all_gather(value: Tensor, rows: int) -> Tensor:
    if value.dtype == torch.bool:
        return _all_gather(value.to(torch.uint8), rows).bool()
    filled = F.pad(value, (0, 0) * (value.ndim - 1) + (0, rows - len(value)))
    rows_of_all: Tensor = _AllGather.apply(filled)
    return rows_of_all


class _AllGather(torch.autograd.Function):
    # torch.distributed.nn has one too, but it is deprecated, and what replaces it is not in every torch we support.
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.contiguous()
        parts = [torch.empty_like(value) for _ in range(world_size())]
        distributed.all_gather(parts, value)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Every process has computed its own value from these rows: their gradients add up.
        return summed(gradient.contiguous()).chunk(world_size())[distributed.get_rank()]
