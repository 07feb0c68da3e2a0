"""Whether bfloat16 is faster here: measured, not assumed."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from limbeck.core import Counts, Distiller
from limbeck.core.addresses import map_tensors

__all__ = ["measure_bfloat16", "supports_bfloat16"]

# A smaller gain is noise on a shared machine, and not worth eight bits of mantissa.
_worth = 1.2


def supports_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def measure_bfloat16(
    distiller: Distiller,
    batch: Mapping[str, Any],
    *,
    device: torch.device,
    pairs: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """How many times faster a training step is under bfloat16 autocast: the median over steps measured in turns."""
    trial = copy.deepcopy(distiller).to(device).train()
    batch = map_tensors(batch, Tensor.to, device)
    ratios = []
    for number in range(pairs + 2):
        full = _seconds(trial, batch, torch.float32, clock)
        half = _seconds(trial, batch, torch.bfloat16, clock)
        # The first steps choose kernels and fill caches.
        if number >= 2:
            ratios.append(full / half)
    return statistics.median(ratios)


def choose(ratio: float) -> torch.dtype:
    """bfloat16 where it pays clearly."""
    return torch.bfloat16 if ratio >= _worth else torch.float32


def _seconds(distiller: Distiller, batch: Mapping[str, Any], dtype: torch.dtype, clock: Callable[[], float]) -> float:
    device = distiller.step.device
    began = clock()
    with nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype):
        output = distiller(batch)
    # Counts of its own: those of `Distiller.counts` wait for processes that measure nothing.
    output.loss(Counts({name: mean.count for name, mean in output.terms.items()}, 1, 1)).backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began
