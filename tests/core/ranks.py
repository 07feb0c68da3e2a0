"""A pair of processes with torch.distributed, and what they are asked to do."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from core.objective import found, micro_batches, pointwise, relational, whole_batch
from core.toys import CE, KL, gradients, make_batch, mlp, rows_of_batch
from limbeck.core import Counts, Distiller, Tapped, Term, world_size
from limbeck.core.processes import gathered
from limbeck.errors import ArgumentError
from limbeck.losses import HintMSE
from limbeck.teachers import Frozen

WORLD = 2


class Ranks:
    """Two processes that run the same function, each with its own rank."""

    def __init__(self, folder: Path) -> None:
        # Both are forked from a process that has imported this already and has started no thread.
        context = torch.multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch._dynamo", "torch.nn.parallel", "limbeck.core", "limbeck.teachers"])
        self.pipes, self.processes = [], []
        for rank in range(WORLD):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(rank, str(folder / "store"), there), daemon=True)
            process.start()
            self.pipes.append(here)
            self.processes.append(process)

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        for pipe in self.pipes:
            pipe.send((function, arguments))
        answers = [pipe.recv() for pipe in self.pipes]
        for error, _ in answers:
            assert error is None, error
        return [value for _, value in answers]

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join(10)


def _serve(rank: int, store: str, pipe: Any) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=WORLD, timeout=timedelta(seconds=60)
    )
    while (task := pipe.recv()) is not None:
        function, arguments = task
        try:
            pipe.send((None, function(rank, *arguments)))
        except Exception:
            pipe.send((traceback.format_exc(), None))
    distributed.destroy_process_group()


def gradients_of_micro_batches(rank: int) -> tuple[dict, float]:
    """Three micro-batches on each process, synchronised with the last."""
    distiller = pointwise()
    batches = micro_batches(rank)
    distiller.prepare(batches[:1])
    wrapped = DistributedDataParallel(distiller)
    counts = distiller.counts(batches)
    total = torch.zeros((), dtype=torch.float64)
    for i, batch in enumerate(batches):
        last = i == len(batches) - 1
        with contextlib.nullcontext() if last else wrapped.no_sync():
            loss = wrapped(batch).loss(counts)
            loss.backward()
            total += loss.detach()
    distributed.all_reduce(total)
    return found(distiller), total.item() / WORLD


def gradients_of_relation(rank: int, gather: bool, parts: tuple[tuple[int, int], ...]) -> dict:
    distiller = relational(gather)
    own = rows_of_batch(whole_batch(), *((0, 13), (13, 24))[rank])
    batch = rows_of_batch(own, *parts[rank])
    distiller.prepare([batch])
    counts = distiller.counts([batch])
    wrapped = DistributedDataParallel(distiller)
    out = wrapped(batch)
    out.loss(counts).backward()
    return {
        "gradients": gradients(distiller.students["student"].model),
        "counts": {name: count.item() for name, count in counts.per_term.items()},
        "count": out.terms["relation"].count.item(),
        "world": counts.world,
    }


def loss_without_counts(rank: int) -> str:
    distiller = Distiller(mlp(0), {"hard": Term(CE())})
    try:
        distiller(make_batch(4, rank)).loss()
    except ArgumentError as error:
        return str(error)
    return "no error"


def train_in_sync(rank: int, static_graph: bool) -> dict:
    """Two steps on other rows on each process, from other projections."""
    torch.manual_seed(rank)
    hidden = {"student": "student.hidden", "teacher": "teacher.hidden"}
    distiller = Distiller(
        Tapped(mlp(0), {"hidden": "1"}),
        {"hard": Term(CE()), "soft": Term(KL()), "hint": Term(HintMSE(), hidden)},
        {"teacher": Frozen(mlp(1, hidden=16), {"hidden": "1"})},
    ).double()
    batch = make_batch(5, seed=20 + rank)
    distiller.prepare([batch])
    wrapped = DistributedDataParallel(distiller, static_graph=static_graph)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller.attach(optimizer)
    before = mlp(0).state_dict()
    for _ in range(2):
        optimizer.zero_grad()
        wrapped(batch).loss(distiller.counts([batch])).backward()
        optimizer.step()
    student = distiller.students["student"].model
    return {
        "state": {name: value.clone() for name, value in distiller.state_dict().items()},
        "moved": any(not torch.equal(p, before[name]) for name, p in student.named_parameters()),
    }


def counts_of(rank: int) -> Counts:
    distiller = pointwise()
    batches = micro_batches(rank)
    distiller.prepare(batches[:1])
    return distiller.counts(batches)


def size(rank: int) -> int:
    return world_size()


def gather_values(rank: int) -> dict:
    """Rows of other numbers and dtypes on each process."""
    rows = 2 + rank
    student = (torch.arange(rows * 3.0).view(rows, 3) + 100 * rank).requires_grad_()
    values = {"student": student, "flag": torch.ones(rows, dtype=torch.bool), "size": 3, "scalar": torch.tensor(1.0)}
    everywhere, mask = gathered(values, torch.ones(rows, dtype=torch.bool))
    (everywhere["student"] * (rank + 1)).sum().backward()
    return {
        **{name: v.detach() if isinstance(v, torch.Tensor) else v for name, v in everywhere.items()},
        "mask": mask,
        "gradient": student.grad,
    }


def teachers_are_left_alone(rank: int) -> list[float]:
    """DDP broadcasts the buffers of process 0: not those of a frozen teacher."""
    teacher = nn.Sequential(mlp(1), nn.BatchNorm1d(4).double())
    teacher[1].running_mean.fill_(rank)
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": Frozen(teacher)})
    DistributedDataParallel(distiller)(make_batch(4))
    return teacher[1].running_mean.tolist()
