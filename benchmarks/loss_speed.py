"""Time and memory of every loss, forward and backward, against the shortest straightforward code for the same equation.

Before they are timed, both must agree in value and gradients (float64, 1e-5). They run in turns in one process; the
figure is the median, over pairs of calls, of the ratio of their times. "kept" is what is allocated after forward, and
so held until backward; "peak" is the most that is allocated at any time; neither counts the inputs.

    python benchmarks/loss_speed.py                                          all losses, 64, 256 and 512 channels
    python benchmarks/loss_speed.py dist rkd_angle --channels 512 --threads 2 --json dist.json
    python benchmarks/loss_speed.py --memory                                 losses over pairs of rows, at batch 4096
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import torch
from loss_costs.cases import CASES, Case
from loss_costs.comparison import FORWARD_ENDS, LossComparison
from loss_costs.memory import print_memory
from torch.profiler import ProfilerActivity, profile

from limbeck import registry

LEAST_PAIRS = 7


def seconds(call: Callable[[], Any]) -> float:
    # The processor's time, where one thread does it all: another program's work is not in it.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    call()
    return clock() - start


def timed(sides: Mapping[str, Callable[[], Any]], limit: float) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    start, pair = time.perf_counter(), 0
    while pair < LEAST_PAIRS or time.perf_counter() - start < limit:
        # Each goes first in every other pair, so that neither always finds the other's data in the cache.
        for name in list(sides)[:: 1 if pair % 2 else -1]:
            times[name].append(seconds(sides[name]))
        pair += 1
    return times


def allocated(side: Callable[[], Any]) -> tuple[int, int]:
    """Bytes at the end of forward, and at most."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        side()
    now = kept = peak = 0
    for event in run.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
        elif event.name() == FORWARD_ENDS:
            kept = now
    return kept, peak


def measure(case: Case, channels: int, limit: float) -> dict[str, Any]:
    comparison = LossComparison(case, channels)
    comparison.check()
    sides = comparison.to(torch.float32).sides
    times = timed(sides, limit)
    low, middle, high = statistics.quantiles([a / b for a, b in zip(*times.values(), strict=True)], n=4)
    row: dict[str, Any] = {"loss": str(case), "channels": channels, "ratio": middle, "low": low, "high": high}
    for name, side in sides.items():
        row[f"{name}_seconds"] = statistics.median(times[name])
        row[f"{name}_kept"], row[f"{name}_peak"] = allocated(side)
    return row


def printed(row: Mapping[str, Any]) -> str:
    times = f"{row['ratio']:6.2f} ({row['low']:.2f} to {row['high']:.2f}) {1e3 * row['limbeck_seconds']:9.3f} ms"
    memory = "".join(
        f" {row[f'limbeck_{what}'] / 2**10:10.0f} {row[f'code_{what}'] / 2**10:10.0f}" for what in ("kept", "peak")
    )
    return f"{row['loss']:<40} {row['channels']:>5} {times}{memory}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("losses", nargs="*", help="names of losses (default: all)")
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 256, 512], help="channels or classes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="to spend on each loss and size, at least")
    parser.add_argument("--json", type=Path, help="a file for the rows")
    parser.add_argument("--memory", action="store_true", help="only the peak memory of the losses over pairs of rows")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.losses:
        registry.lookup("loss", name)
    if options.memory:
        print_memory(options.losses)
        return
    print(f"{'loss':<40} {'size':>5}  ratio (quartiles)        limbeck   kept KiB       code   peak KiB       code")
    rows = []
    for case in CASES:
        if options.losses and case.name not in options.losses:
            continue
        for channels in options.channels:
            rows.append(measure(case, channels, options.seconds))
            print(printed(rows[-1]), flush=True)
    left_out = set(registry.names("loss")) - {case.name for case in CASES}
    if left_out and not options.losses:
        print(f"without straightforward code: {', '.join(sorted(left_out))}", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
