"""A small Distiller with gradient attention, and what one of two processes does with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from limbeck.core import Distiller, Tapped, Term
from limbeck.losses import CrossEntropy, GradientAttention
from limbeck.teachers import Frozen


def network(width: int, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, width, 3), nn.Tanh(), nn.Conv2d(width, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)]
        return nn.Sequential(*layers).double()


def batch() -> dict[str, Tensor]:
    return {
        "inputs": torch.randn(6, 1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3)),
        "target": torch.tensor([0, 1, 2, -100, 1, 0]),
        "admitted": torch.tensor([True, True, False, True, True, True]),
    }


def distiller(where: str | None, *, hard: bool = False) -> Distiller:
    taps = {"student": "student.mid", "teacher": "teacher.mid"}
    terms = {"maps": Term(GradientAttention(channels="sum"), taps, where=where)}
    if hard:
        terms["hard"] = Term(CrossEntropy())
    return Distiller(
        Tapped(network(2, 0), {"mid": "1"}),
        terms,
        {"teacher": Frozen(network(5, 1), {"mid": "1"}, differentiable=True)},
    )


def gradients_of_half(rank: int) -> list[Tensor]:
    """Two micro-batches on process 0, one on process 1."""
    model, data = distiller("batch.admitted"), batch()
    parts = [{name: value[start:stop] for name, value in data.items()} for start, stop in ((0, 2), (2, 3), (3, 6))]
    batches = (parts[:2], parts[2:])[rank]
    model.prepare(batches[:1])
    counts = model.counts(batches)
    wrapped = DistributedDataParallel(model)
    for part in batches[:-1]:
        with wrapped.no_sync():
            wrapped(part).loss(counts).backward()
    wrapped(batches[-1]).loss(counts).backward()
    return [parameter.grad for parameter in model.students["student"].model.parameters()]
