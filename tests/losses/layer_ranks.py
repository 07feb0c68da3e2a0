"""A student of two layers whose partners are chosen by each of two processes from rows of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from core.toys import FEATURES, HIDDEN, gradients
from limbeck.core import Distiller, Term
from limbeck.losses import HiddenStatesMSE

ROWS = 16
INPUTS = {"student": "student.layers", "teacher": "batch.layers"}


class Deep(nn.Module):
    """Returns what both of its layers give."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.second = nn.Linear(FEATURES, HIDDEN).double(), nn.Linear(HIDDEN, HIDDEN).double()

    def forward(self, inputs: Tensor) -> dict[str, tuple[Tensor, ...]]:
        first = self.first(inputs).tanh()
        return {"layers": (first, self.second(first).tanh())}


def rows_of(rank: int) -> dict[str, object]:
    """The first process sees a teacher whose first layers are like the student's, the second one's last are."""
    generator = torch.Generator().manual_seed(rank)
    inputs = torch.randn(ROWS, FEATURES, generator=generator, dtype=torch.float64)
    noise = torch.randn(ROWS, HIDDEN, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        layers = [-layer for layer in Deep()(inputs)["layers"]]
    layers.insert(0 if rank else 2, noise)
    return {"inputs": inputs, "layers": tuple(layers)}


def make(rank: int) -> tuple[Distiller, HiddenStatesMSE]:
    loss = HiddenStatesMSE(layers="auto", embeddings=False)
    return Distiller(Deep(), {"hidden": Term(loss, INPUTS)}).prepare([rows_of(rank)]), loss


def choices(rank: int) -> tuple[list[int], list[int], dict[str, Tensor]]:
    """What a process has chosen alone, what it uses in both, and the gradients of one step."""
    distiller, loss = make(rank)
    alone = loss.pairs.chosen.tolist()
    wrapped = DistributedDataParallel(distiller)
    wrapped(rows_of(rank)).loss(distiller.counts([rows_of(rank)])).backward()
    return alone, loss.pairs.chosen.tolist(), gradients(distiller)
