"""What a model costs: parameters, floating-point operations, time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from limbeck.core import call_model, map_rows
from limbeck.errors import ArgumentError

__all__ = ["Latency", "flops", "latency", "parameters", "throughput"]


@dataclass(frozen=True)
class Latency:
    """Time of one call in milliseconds: median, lower and upper quartile; and the threads it could use."""

    median_ms: float
    low_ms: float
    high_ms: float
    threads: int


def parameters(model: nn.Module) -> int:
    """The number of parameters; one that is shared counts once, buffers do not count.

    >>> parameters(nn.Linear(3, 2))
    8
    """
    return sum(one.numel() for one in model.parameters())


def flops(model: nn.Module, example: Tensor | Mapping[str, Tensor]) -> int:
    """Floating-point operations for one row, in eval mode: two for each multiply-add.

    Matrix products, convolutions and attention are counted; activations, normalization and pooling are not.

    Args:
        model: called with one row; its modes are as before afterwards.
        example: inputs `[B, ...]`, of which the first row is used; a mapping for a model that is called by keyword.

    Returns:
        The number.

    >>> flops(nn.Linear(3, 2), torch.zeros(1, 3))
    12
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            call_model(model, map_rows(example, itemgetter(slice(1))))
    finally:
        for module, training in modes:
            module.training = training
    return int(counter.get_total_flops())


def latency(
    call: Callable[[], Any],
    *,
    repeats: int = 200,
    warmup: int = 10,
    threads: int | None = None,
    seconds: float = 0.5,
) -> Latency:
    """How long one call takes: the median of up to `repeats` calls, as many as `seconds` allow, at least 5.

    Args:
        call: runs the model once, and waits for its device.
        repeats: the greatest number of timed calls.
        warmup: calls before the first timed one.
        threads: what to write down as the number of threads; torch's own unless given.
        seconds: about how long the timed calls may take together.

    Returns:
        The median and the quartiles.

    Raises:
        ArgumentError: if repeats is less than 5 or warmup is negative.

    >>> latency(lambda: None, threads=1).threads
    1
    """
    if repeats < 5 or warmup < 0:
        raise ArgumentError(
            f"latency: repeats={repeats}, warmup={warmup}; expected at least 5 and at least 0", path="repeats"
        )
    for _ in range(warmup):
        call()
    took: list[float] = []
    while len(took) < repeats and (len(took) < 5 or sum(took) < seconds):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    low, median, high = (1000 * float(at) for at in np.percentile(took, [25, 50, 75]))
    return Latency(median, low, high, torch.get_num_threads() if threads is None else threads)


def throughput(call: Callable[[], Any], rows: int, *, seconds: float = 0.5) -> float:
    """Rows per second, over about `seconds` of calls after a first one that is not timed.

    Args:
        call: runs the model once on a batch, and waits for its device.
        rows: how many rows the batch has.
        seconds: about how long the timed calls may take together.

    Returns:
        The rate.

    Raises:
        ArgumentError: if rows is less than 1.

    >>> throughput(lambda: None, 64) > 0
    True
    """
    if rows < 1:
        raise ArgumentError(f"throughput: rows={rows}; expected the number of rows in a batch, at least 1", path="rows")
    call()
    start, calls = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds or not calls:
        call()
        calls += 1
    return rows * calls / elapsed
