"""A student with a memory bank, trained in one process or on its share of the rows in one of two."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from core.toys import CE, CLASSES, FEATURES, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.losses import CRD
from limbeck.teachers import Frozen

ROWS, BATCH = 30, 8
INPUTS = {"student": "student.hidden", "teacher": "teacher.hidden", "row": "batch.row", "label": "batch.target"}


def training_set() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "inputs": torch.randn(ROWS, FEATURES, generator=generator, dtype=torch.float64),
        "target": torch.randint(0, CLASSES, (ROWS,), generator=generator),
        "row": torch.arange(ROWS),
    }


def batch_of(step: int) -> dict[str, Tensor]:
    """Rows that differ within a batch, a function of the step."""
    rows = torch.randperm(ROWS, generator=torch.Generator().manual_seed(step))[:BATCH]
    batch = {name: values[rows] for name, values in training_set().items()}
    batch["chosen"] = torch.arange(BATCH) != 3
    return batch


def make(negatives: int = 12, *, where: str | None = None, gather: bool = False) -> tuple[Distiller, torch.optim.SGD]:
    """A prepared and attached Distiller in float64; the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = CRD(features=5, negatives=negatives, temperature=0.5)
        distiller = Distiller(
            Tapped(mlp(0), {"hidden": "1"}),
            {"hard": Term(CE(), where=where), "contrast": Term(loss, INPUTS, weight=0.1, where=where, gather=gather)},
            {"teacher": Frozen(mlp(1, hidden=16), {"hidden": "1"})},
        ).double()
        distiller.prepare([batch_of(0)])
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1, momentum=0.9)
    distiller.attach(optimizer)
    return distiller, optimizer


def train(
    distiller: Distiller,
    optimizer: torch.optim.Optimizer,
    steps: range,
    parts: list[slice],
    wrapped: nn.Module | None = None,
) -> list[float]:
    """Steps on these micro-batches of each batch, and the value of every step's contrast."""
    values = []
    for step in steps:
        batches = [{name: value[part] for name, value in batch_of(step).items()} for part in parts]
        counts = distiller.counts(batches)
        optimizer.zero_grad()
        value = 0.0
        for batch in batches:
            out = (wrapped or distiller)(batch)
            out.loss(counts).backward()
            value += out.terms["contrast"].sum.item() / len(batches)
        optimizer.step()
        values.append(value)
    return values


def train_half(rank: int, parts: tuple[tuple[int, int], ...], options: dict) -> dict:
    """Three steps on this process's rows, a checkpoint, three steps more; then these again from the checkpoint."""
    distiller, optimizer = make(**options)
    local = [slice(*parts[rank])]
    values = train(distiller, optimizer, range(3), local, DistributedDataParallel(distiller))
    saved = {name: value.clone() for name, value in distiller.state_dict().items()}
    momentum = {k: v["momentum_buffer"].clone() for k, v in optimizer.state_dict()["state"].items()}
    values += train(distiller, optimizer, range(3, 6), local, DistributedDataParallel(distiller))

    resumed, other = make(**options)
    resumed.load_state_dict(saved)
    groups = other.state_dict()["param_groups"]
    other.load_state_dict({"state": {k: {"momentum_buffer": v} for k, v in momentum.items()}, "param_groups": groups})
    again = train(resumed, other, range(3, 6), local, DistributedDataParallel(resumed))
    return {
        "state": distiller.state_dict(),
        "resumed": resumed.state_dict(),
        "values": values,
        "again": again,
    }


def bank_of_another_process(rank: int) -> dict:
    """DDP broadcasts the buffers of process 0: not the bank."""
    distiller, _ = make()
    bank = distiller.terms["contrast"].loss.bank
    bank.student = torch.full((ROWS, 5), float(rank), dtype=torch.float64)
    bank.teacher, bank.seen = bank.student.clone(), torch.ones(ROWS, dtype=torch.bool)
    bank.label = torch.zeros(ROWS, dtype=torch.int64)
    wrapped = DistributedDataParallel(distiller)
    wrapped(batch_of(0))
    names = [name for name, _ in distiller.named_buffers()]
    return {"bank": bank.student[0, 0].item(), "buffers": names}


def one_process_without_rows(rank: int) -> dict:
    """A process whose rows are all masked has nothing to stage, and gets those of the other."""
    distiller, optimizer = make(where="batch.chosen")
    batch = batch_of(0)
    batch["chosen"] = torch.full((BATCH,), rank == 1)
    counts = distiller.counts([batch])
    wrapped = DistributedDataParallel(distiller)
    wrapped(batch).loss(counts).backward()
    optimizer.step()
    return distiller.state_dict()
