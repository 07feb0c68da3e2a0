"""What a pair of processes is asked to do with weights that two of their students share."""

from __future__ import annotations

import torch
from torch.nn.parallel import DistributedDataParallel

from core.toys import CE, KL, gradients, make_batch, mlp, rows_of_batch
from limbeck.core import Distiller, Term
from limbeck.models import share_

# Rows of each micro-batch: those of process 0, then those of process 1.
PARTS = ((0, 5), (5, 12)), ((12, 13), (13, 24))


def tied(seed: int = 0) -> Distiller:
    """Two students with one head, of which the second teaches the first; another initial state for each seed."""
    student, peer = mlp(seed), mlp(seed + 1)
    share_(student, peer, {"2": "2"}, mode="tied")
    terms = {
        "hard": Term(CE(), where="batch.admitted"),
        "peer": Term(CE(), {"student": "peer.logits"}),
        "soft": Term(KL(), {"teacher": "peer.logits"}),
    }
    return Distiller({"student": student, "peer": peer}, terms)


def steps(
    distiller: Distiller, parts: tuple[tuple[int, int], ...], wrapped: DistributedDataParallel | None = None
) -> dict[str, torch.Tensor]:
    """The weights after three optimizer steps, and the last gradients."""
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    for step in range(3):
        optimizer.zero_grad()
        batches = [rows_of_batch(make_batch(24, seed=step), *part) for part in parts]
        counts = distiller.counts(batches)
        for number, batch in enumerate(batches):
            if wrapped is None or number == len(batches) - 1:
                (wrapped or distiller)(batch).loss(counts).backward()
            else:
                with wrapped.no_sync():
                    wrapped(batch).loss(counts).backward()
        optimizer.step()
    found = {**distiller.state_dict(), **{f"gradient {name}": g for name, g in gradients(distiller).items()}}
    return {name: value.clone() for name, value in found.items()}


def tied_half(rank: int) -> dict[str, torch.Tensor]:
    """This process's micro-batches, from another initial state than the first process's."""
    distiller = tied(10 * rank)
    distiller.prepare([make_batch(5)])
    found = steps(distiller, PARTS[rank], DistributedDataParallel(distiller))
    students = distiller.students
    assert students["student"].model[2].weight is students["peer"].model[2].weight
    return found
