"""Small models, losses and batches, and the same objective written by hand."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES, HIDDEN, CLASSES = 6, 8, 4


class CE(nn.Module):
    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(student.flatten(0, -2), target.flatten(), reduction="none").view(target.shape)


class KL(nn.Module):
    """At temperature 2."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        log_q, log_p = (student / 2).log_softmax(-1), (teacher / 2).log_softmax(-1)
        return 4 * (log_p.exp() * (log_p - log_q)).sum(-1)


class Squared(nn.Module):
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student - teacher).square().mean(-1)


class Relation(nn.Module):
    """Mean squared difference of inner products over pairs of rows, divided by their number unguarded."""

    relational = True

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        pairs = mask[:, None] & mask[None] & ~torch.eye(len(mask), dtype=torch.bool, device=mask.device)
        difference = (student @ student.T - teacher @ teacher.T).square()
        return (difference * pairs).sum() / pairs.sum()


class Spy(nn.Module):
    """Squared, and what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, object]] = []

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        self.seen.append(
            {"student": student, "teacher": teacher, "autocast": torch.is_autocast_enabled(student.device.type)}
        )
        return (student - teacher).square().mean(-1)


def mlp(seed: int, dtype: torch.dtype = torch.float64, *, hidden: int = HIDDEN) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(FEATURES, hidden), nn.Tanh(), nn.Linear(hidden, CLASSES)).to(dtype)


def make_batch(rows: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "inputs": torch.randn(rows, FEATURES, generator=generator, dtype=dtype),
        "target": torch.randint(0, CLASSES, (rows,), generator=generator),
        "admitted": torch.rand(rows, generator=generator) < 0.5,
        "index": torch.arange(rows),
    }


def rows_of_batch(batch: Mapping[str, Tensor], start: int, stop: int) -> dict[str, Tensor]:
    return {name: value[start:stop] for name, value in batch.items()}


def kl_by_hand(student: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """torch's own divergence, over the whole batch."""
    log_q = F.log_softmax(student / temperature, -1)
    return F.kl_div(log_q, F.softmax(teacher / temperature, -1), reduction="batchmean") * temperature**2


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
