"""What a teacher costs in training: an epoch without one, one with a cached teacher, and one with a live teacher.

    python benchmarks/cache.py epoch [--folder DIR] [--rows 60000]

A ResNet of 20k parameters learns Fashion-MNIST, flipped and cropped, in batches of 64: by cross-entropy alone, and with
the KL divergence to a ResNet of 300k parameters, read from a cache of one view of each row, or run beside it. All three
go through their epoch in turns of 32 steps, in one process, reading and augmentation included. The figures are medians
over the turns of the ratio to the epoch without a teacher.

Without ``--folder``, the IDX files come from the Debian package dataset-fashion-mnist, fetched with apt-get into the
user's cache.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from fashion_mnist import fetch
from torch import Tensor

from limbeck import Distiller, Frozen, Term
from limbeck.cache import CachedRows, CacheReader, Manifest, build, fields_of
from limbeck.core import Teacher
from limbeck.data import Augment, Batch, Batches, Idx, ImageSet, Plan
from limbeck.losses import CrossEntropy, KLDivergence
from limbeck.models import ResNet
from limbeck.teachers import Cached

BATCH, SEED, TURN, WARM = 64, 0, 32, 16
MOST = 1.10
AUGMENT = Augment(flip=True, crop=2)


def epoch(folder: Path | None, rows: int) -> None:
    """Print how many times longer an epoch takes with a cached and with a live teacher than without one."""
    data = Idx(folder=str(folder or fetch(Path.home() / ".cache" / "limbeck"))).load()["train"]
    data = data.subset(torch.arange(min(rows, len(data))))
    teacher = Frozen(ResNet(channels=1, classes=10, size=(28, 28), width=32, depth=1))
    teacher.to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as place:
        cached = built(Path(place), data, teacher)
        runs = {
            "no teacher": training(data, None, None),
            "cached": training(data, Cached("teacher"), cached),
            "live": training(data, teacher, None),
        }
        seconds = in_turns(runs, len(data) // BATCH)
    alone = seconds["no teacher"]
    print(f"{len(data)} images, {len(data) // BATCH} steps, {torch.get_num_threads()} threads; at most {MOST} cached")
    for name, found in seconds.items():
        ratio = median(own / base for own, base in zip(found, alone, strict=True))
        print(f"{name:>10}: {ratio:6.3f} of the epoch without a teacher, {1e3 * median(found) / TURN:7.2f} ms a step")


def built(place: Path, data: ImageSet, teacher: Frozen) -> CachedRows:
    """The teacher's cache, of one view of each row."""
    source = batches(data, None)

    def said(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
        found: Tensor = teacher({"batch": source.view(rows, views)})["logits"]
        return {"logits": found}

    first = torch.zeros(1, dtype=torch.int64)
    fields = fields_of(said(first, first), {"logits": {"use": "float32"}})
    build(place, Manifest(fields, rows=len(data)), said)
    return CachedRows({"teacher": CacheReader(place)})


def batches(data: ImageSet, cached: CachedRows | None) -> Batches:
    plan = Plan(data.labelled, batch_size=BATCH, seed=SEED)
    return Batches(data, plan, AUGMENT, seed=SEED, views=1, cached=cached)


def training(data: ImageSet, teacher: Teacher | None, cached: CachedRows | None) -> Callable[[int, int], None]:
    """Trains a student from one step to another."""
    torch.manual_seed(SEED)
    student = ResNet(channels=1, classes=10, size=(28, 28), width=8, depth=1).to(memory_format=torch.channels_last)
    terms = {"hard": Term(CrossEntropy())}
    if teacher is not None:
        terms["soft"] = Term(KLDivergence(temperature=4.0))
    distiller = Distiller(student, terms, {} if teacher is None else {"teacher": teacher})
    source = batches(data, cached)
    distiller.prepare(list(source.iterate(0, 1)))
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=1e-2)
    distiller.attach(optimizer)
    reading: Iterator[Batch] = source.iterate(0, 10**9)

    def train(start: int, stop: int) -> None:
        for _ in range(start, stop):
            distiller(next(reading)).loss().backward()
            optimizer.step()
            optimizer.zero_grad()

    return train


def in_turns(runs: dict[str, Callable[[int, int], None]], steps: int) -> dict[str, list[float]]:
    """Seconds of each turn of each run."""
    for train in runs.values():
        train(0, WARM)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for start in range(0, steps - TURN + 1, TURN):
        for name, train in runs.items():
            begin = time.perf_counter()
            train(start, start + TURN)
            seconds[name].append(time.perf_counter() - begin)
    return seconds
