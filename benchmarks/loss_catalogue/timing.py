"""The time of one step of each method, relative to a step of plain distillation."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable

import torch

from limbeck.data import Batch
from loss_catalogue.bench import Bench
from loss_catalogue.methods import PLAIN, Method

__all__ = ["ratios_of_time"]

_pairs, _unmeasured = 60, 5


def ratios_of_time(bench: Bench, methods: Iterable[Method]) -> dict[str, float]:
    """For each method, the median over pairs of steps of the ratio of their times; the two run in turns."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {method.name: _ratio(bench, method) for method in methods}
    finally:
        torch.set_num_threads(threads)


def _ratio(bench: Bench, method: Method) -> float:
    ours, plain = _stepper(bench, method), _stepper(bench, PLAIN)
    batches = list(itertools.islice(bench.batches(bench.rows.train, bench.study.epochs, 0), 8))
    ratios = []
    for pair in range(-_unmeasured, _pairs):
        batch = batches[pair % len(batches)]
        # Each goes first in every other pair, so that neither always finds the other's data in the cache.
        if pair % 2:
            own, other = ours(batch), plain(batch)
        else:
            other, own = plain(batch), ours(batch)
        if pair >= 0:
            ratios.append(own / other)
    return statistics.median(ratios)


def _stepper(bench: Bench, method: Method) -> Callable[[Batch], float]:
    distiller = bench.distiller(method, 1.0, 0).train()
    # Too small to move anything: a method that diverges would be timed on numbers that are none.
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=1e-8, fused=True)
    distiller.attach(optimizer)

    def step(batch: Batch) -> float:
        _wait(bench.device)
        start = time.perf_counter()
        loss = distiller(batch).loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        _wait(bench.device)
        return time.perf_counter() - start

    return step


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
