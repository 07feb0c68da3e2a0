"""What a pair of processes is asked to do with teachers that have state."""

from __future__ import annotations

import contextlib

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from core.toys import CE, KL, make_batch, mlp, rows_of_batch
from limbeck.core import Distiller, Term
from limbeck.losses import KLDivergence
from limbeck.teachers import EMA, Dynamic, Ensemble, Frozen, PeerEnsemble, RandomTeacher, mutual_terms


def with_statistics(seed: int) -> nn.Sequential:
    model = mlp(seed)
    return nn.Sequential(model[0], nn.BatchNorm1d(8).double(), *model[1:])


def mean_teacher(rank: int, steps: int) -> dict:
    """Other initial weights and other rows on each process."""
    terms = {"hard": Term(CE()), "soft": Term(KL())}
    distiller = Distiller(with_statistics(rank), terms, {"teacher": EMA(decay=0.8)})
    distiller.prepare([make_batch(5, rank)])
    wrapped = DistributedDataParallel(distiller)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    distiller.attach(optimizer)
    student, shadow = distiller.students["student"].model, distiller.teachers["teacher"].model.model
    weights = [copied(dict(student.named_parameters()))]
    for step in range(steps):
        optimizer.zero_grad()
        batch = make_batch(5, seed=10 * step + rank)
        wrapped(batch).loss(distiller.counts([batch])).backward()
        optimizer.step()
        weights.append(copied(dict(student.named_parameters())))
    return {
        "weights": weights,
        "shadow": copied(dict(shadow.named_parameters())),
        "statistics": copied(dict(shadow.named_buffers())),
        "own": copied(dict(student.named_buffers())),
        "broadcast": [name for name, _ in distiller.named_buffers()],
    }


def with_learned_weights() -> Distiller:
    terms = {"soft": Term(KL()), "weights": Term(CE(), {"student": "teacher.logits"})}
    members = {"a": Frozen(mlp(1)), "b": Frozen(mlp(2))}
    return Distiller(mlp(0), terms, {"teacher": Ensemble(members, weights="learned")})


def learned_weights(rank: int, steps: int) -> dict:
    """Unequal parts of the batch on each process, of which the last is in two micro-batches."""
    distiller = with_learned_weights()
    distiller.prepare([make_batch(5, rank)])
    wrapped = DistributedDataParallel(distiller)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    for step in range(steps):
        optimizer.zero_grad()
        batch = make_batch(12, seed=step)
        parts = [rows_of_batch(batch, *span) for span in (((0, 3), (3, 5)), ((5, 6), (6, 12)))[rank]]
        counts = distiller.counts(parts)
        with wrapped.no_sync():
            wrapped(parts[0]).loss(counts).backward()
        wrapped(parts[1]).loss(counts).backward()
        optimizer.step()
    return state_of(distiller)


def learned_weights_of_whole_batches(steps: int) -> dict:
    distiller = with_learned_weights()
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    for step in range(steps):
        optimizer.zero_grad()
        distiller(make_batch(12, seed=step)).loss().backward()
        optimizer.step()
    return state_of(distiller)


def state_of(distiller: Distiller) -> dict:
    student = copied(dict(distiller.students["student"].model.named_parameters()))
    return {**student, "scores": distiller.teachers["teacher"].scores.detach().clone()}


def copied(tensors: dict) -> dict:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def drawn_teachers(rank: int, steps: int) -> list[str]:
    """Processes whose own random state differs."""
    torch.manual_seed(rank)
    teacher = RandomTeacher({name: Frozen(mlp(k)) for k, name in enumerate("abc")}, seed=5)
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": teacher}).prepare([make_batch(4)])
    wrapped = DistributedDataParallel(distiller)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller.attach(optimizer)
    names = []
    for step in range(steps):
        batch = make_batch(4 + rank, seed=10 * step + rank)
        names.append(teacher.drawn)
        optimizer.zero_grad()
        wrapped(batch).loss(distiller.counts([batch])).backward()
        optimizer.step()
    return names


def of_peers() -> Distiller:
    terms = {f"hard_{name}": Term(CE(), {"student": f"{name}.logits"}) for name in "ab"}
    terms["voice"] = Term(KL(), {"student": "a.logits"})
    students = {"a": mlp(0), "b": mlp(1)}
    return Distiller(students, {**terms, **mutual_terms("ab")}, {"teacher": PeerEnsemble("ab", method="linear")})


def peers(rank: int, steps: int) -> dict:
    """Two micro-batches on each process, and an optimizer for each student."""
    distiller = of_peers()
    distiller.prepare([make_batch(5, rank)])
    wrapped = DistributedDataParallel(distiller)
    optimizers = [torch.optim.SGD(distiller.students[name].parameters(), lr=0.5) for name in "ab"]
    distiller.attach(*optimizers)
    for step in range(steps):
        distiller.zero_grad()
        batch = make_batch(12, seed=step)
        parts = [rows_of_batch(batch, *span) for span in (((0, 3), (3, 5)), ((5, 6), (6, 12)))[rank]]
        counts = distiller.counts(parts)
        with wrapped.no_sync():
            wrapped(parts[0]).loss(counts).backward()
        wrapped(parts[1]).loss(counts).backward()
        for optimizer in optimizers:
            optimizer.step()
    return copied(distiller.state_dict())


def peers_of_whole_batches(steps: int) -> dict:
    distiller = of_peers()
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    distiller.attach(optimizer)
    for step in range(steps):
        optimizer.zero_grad()
        distiller(make_batch(12, seed=step)).loss().backward()
        optimizer.step()
    return copied(distiller.state_dict())


def sharded_mean_teacher(rank: int, steps: int) -> dict:
    """The student's weights are spread over the processes."""
    distiller = Distiller(mlp(0), {"hard": Term(CE()), "soft": Term(KL())}, {"teacher": EMA(decay=0.8)})
    distiller.prepare([make_batch(5)])
    fully_shard(distiller, mesh=init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    distiller.attach(optimizer)
    student, shadow = distiller.students["student"].model, distiller.teachers["teacher"].model.model

    def weights() -> dict:
        return {name: parameter.full_tensor().detach().clone() for name, parameter in student.named_parameters()}

    seen = [weights()]
    for step in range(steps):
        optimizer.zero_grad()
        batch = make_batch(5, seed=10 * step + rank)
        distiller(batch).loss(distiller.counts([batch])).backward()
        optimizer.step()
        seen.append(weights())
    return {"weights": seen, "shadow": copied(dict(shadow.named_parameters()))}


# Rows of each micro-batch: those of process 0, then those of process 1.
PARTS_OF_ROWS = ((0, 5), (5, 7), (7, 13)), ((13, 14), (14, 24))


def dynamic(by: str) -> Distiller:
    """Rows with a weight and a temperature of their own, some of them masked."""
    terms = {
        "hard": Term(CE(), where="batch.admitted"),
        "soft": Term(
            KLDivergence(),
            {"temperature": "dynamic.temperature"},
            scale="dynamic.weight",
            where="batch.admitted",
        ),
    }
    source = Dynamic(by=by, temperature=3.0, spread=2.0, where="batch.admitted")
    return Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1)), "dynamic": source})


def dynamic_steps(
    distiller: Distiller, parts: tuple[tuple[int, int], ...], wrapped: nn.Module | None = None
) -> dict[str, torch.Tensor]:
    """The state after three optimizer steps on these micro-batches, a new batch in each."""
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5)
    distiller.prepare([make_batch(5)]).attach(optimizer)
    for step in range(3):
        batches = [rows_of_batch(make_batch(24, seed=step), *part) for part in parts]
        counts = distiller.counts(batches)
        optimizer.zero_grad()
        for number, batch in enumerate(batches):
            alone = wrapped is None or number == len(batches) - 1
            with contextlib.nullcontext() if alone else wrapped.no_sync():
                (wrapped or distiller)(batch).loss(counts).backward()
        optimizer.step()
    return copied(distiller.state_dict())


def dynamic_half(rank: int) -> dict[str, torch.Tensor]:
    """This process's micro-batches, of other numbers of rows than the other's."""
    distiller = dynamic("agreement")
    distiller.prepare([make_batch(5)])
    return dynamic_steps(distiller, PARTS_OF_ROWS[rank], DistributedDataParallel(distiller))
