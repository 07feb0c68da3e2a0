"""Peak memory of the losses over pairs: each in a process of its own, forward and backward, above its inputs."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

ROWS, FEATURES, WARM, NEGATIVES = 4096, 512, 8, 16384
# The time of rkd_angle grows with the cube of the rows, its memory is that of one block, here of one vertex: a few
# vertices show it, and all of them take so many times as long.
VERTICES = 4
MAPS = ("nst_mmd", "flow_of_solution", "inter_channel_correlation")
LOSSES: dict[str, dict[str, Any]] = {
    "rkd_distance": {},
    "rkd_angle": {},
    "similarity_preserving": {},
    "correlation_congruence": {},
    "probabilistic_transfer": {},
    "dist": {},
    "multi_level_logits": {},
    "crd": {"rows": NEGATIVES, "negatives": NEGATIVES},
    "nst_mmd": {"kernel": "gaussian"},
    "flow_of_solution": {},
    "inter_channel_correlation": {},
}


def print_memory(losses: Sequence[str]) -> None:
    """A line for each loss."""
    print(f"{ROWS} rows, {FEATURES} features; one matrix [{ROWS}, {ROWS}] is {4 * ROWS**2 // 2**20} MiB")
    print(f"{'loss':<28} {'MiB':>8} {'seconds':>8}")
    for name in losses or LOSSES:
        answer = subprocess.run([sys.executable, __file__, name], check=True, capture_output=True, text=True)
        row = json.loads(answer.stdout)
        said = f"{name}, {VERTICES} vertices" if name == "rkd_angle" else name
        print(f"{said:<28} {row['bytes'] / 2**20:>8.0f} {row['seconds']:>8.1f}", flush=True)


def measure(name: str) -> dict[str, Any]:
    import torch

    import limbeck.losses  # noqa: F401  # registers the losses
    from limbeck import registry
    from limbeck.losses import _blocks, _rkd

    torch.set_num_threads(1)
    loss = registry.lookup("loss", name)(**LOSSES[name])

    def inputs(rows: int) -> dict[str, torch.Tensor]:
        shape = (rows, FEATURES, 4, 4) if name in MAPS else (rows, FEATURES)
        names = ("student", "teacher")
        if name == "flow_of_solution":
            names = ("student_first", "student_second", "teacher_first", "teacher_second")
        values = {side: torch.randn(shape, requires_grad=side.startswith("student")) for side in names}
        return {**values, "row": torch.arange(rows)} if name == "crd" else values

    def step(values: dict[str, torch.Tensor]) -> Callable[..., Any]:
        return torch.autograd.grad(loss(**values).sum(), [v for v in values.values() if v.requires_grad])

    if hasattr(loss, "prepare"):
        loss.prepare([inputs(WARM)])
    if name == "crd":
        loss.bank.stage(*_all_rows(loss.bank))
        loss.bank.commit(1)
        loss.eval()
    step(inputs(WARM))
    values = inputs(ROWS)
    if name == "rkd_angle":
        _rkd.sum_over_blocks = lambda of_rows, _, elements: _blocks.sum_over_blocks(of_rows, VERTICES, elements)
    before = _peak()
    start = time.perf_counter()
    step(values)
    return {"bytes": _peak() - before, "seconds": time.perf_counter() - start}


def _all_rows(bank: Any) -> tuple[Any, ...]:
    import torch

    embeddings = torch.nn.functional.normalize(torch.randn(NEGATIVES, bank.features))
    return torch.arange(NEGATIVES), None, embeddings, embeddings, torch.ones(NEGATIVES, dtype=torch.bool)


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
