"""An objective with masks and unequal denominators under a balance, whole, in micro-batches, and in two processes."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from core.objective import HIDDEN, PARTS, whole_batch
from core.toys import CE, KL, Squared, mlp, rows_of_batch
from limbeck.core import Balance, Cosine, Distiller, GradientNorm, Tapped, Term, Uncertainty
from limbeck.losses import Curriculum, KLDivergence
from limbeck.teachers import Frozen


def balance(name: str, **options) -> Balance:
    if name == "uncertainty":
        return Uncertainty()
    return GradientNorm(**{"at": "student.hidden", "smoothing": 0.5, **options})


def make(name: str, *, rate: float = 0.1, **options) -> tuple[Distiller, torch.optim.SGD]:
    """A prepared and attached Distiller; the same in every process."""
    terms = {
        "hard": Term(CE(), where="batch.admitted"),
        "soft": Term(KL(), weight=0.5),
        "hint": Term(Squared(), HIDDEN, weight=0.2, where="batch.chosen", scale="batch.confidence"),
    }
    teachers = {"teacher": Frozen(mlp(1), {"hidden": "1"})}
    distiller = Distiller(Tapped(mlp(0), {"hidden": "1"}), terms, teachers, balance=balance(name, **options))
    distiller.prepare([whole_batch()])
    optimizer = torch.optim.SGD(distiller.parameters(), lr=rate, momentum=0.9)
    distiller.attach(optimizer)
    return distiller, optimizer


def tempered() -> tuple[Distiller, torch.optim.SGD]:
    """One temperature that falls and one that is learned."""
    terms = {
        "soft": Term(KLDivergence(temperature=Cosine(start=4.0, end=1.0, steps=6)), where="batch.admitted"),
        "hot": Term(KLDivergence(temperature=Curriculum(steps=2, highest=3.0)), where="batch.chosen"),
    }
    distiller = Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1))})
    distiller.prepare([whole_batch()])
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1, momentum=0.9)
    distiller.attach(optimizer)
    return distiller, optimizer


def train(
    distiller: Distiller,
    optimizer: torch.optim.Optimizer,
    parts: tuple[tuple[int, int], ...],
    steps: int,
    wrapped: nn.Module | None = None,
) -> None:
    """Steps on these micro-batches of the whole batch, synchronised with the last."""
    batches = [rows_of_batch(whole_batch(), *part) for part in parts]
    for _ in range(steps):
        counts = distiller.counts(batches)
        optimizer.zero_grad()
        for number, batch in enumerate(batches):
            alone = wrapped is None or number == len(batches) - 1
            with contextlib.nullcontext() if alone else wrapped.no_sync():
                (wrapped or distiller)(batch).loss(counts).backward()
        optimizer.step()


def train_half(rank: int, name: str, steps: int, buckets: bool) -> dict[str, Tensor]:
    """This process's micro-batches, of other numbers of rows than the other's."""
    distiller, optimizer = tempered() if name == "tempered" else make(name)
    wrapped = DistributedDataParallel(distiller, static_graph=buckets)
    # A static graph allows one pass a step.
    parts = ((PARTS[rank][0][0], PARTS[rank][-1][1]),) if buckets else PARTS[rank]
    train(distiller, optimizer, parts, steps, wrapped)
    state = {**distiller.state_dict(), **dict(distiller.named_buffers())}
    return {key: value.clone() for key, value in state.items()}
