"""Small jobs for the loop, and everything that it needs around them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from limbeck.core import Distiller, Term
from limbeck.data import Batches, ImageSet, Plan
from limbeck.losses import CrossEntropy
from limbeck.training.checkpoint import Checkpoints
from limbeck.training.events import EventLog
from limbeck.training.loop import Job, fit
from limbeck.training.progress import SilentProgress
from limbeck.training.settings import Settings

ROWS, CLASSES = 50, 3


def rows(labelled: int = ROWS) -> ImageSet:
    """Rows that can be learned, the first of them labelled."""
    generator = torch.Generator().manual_seed(5)
    pixels = torch.rand(ROWS, 1, 3, 3, generator=generator)
    target = pixels.flatten(1)[:, :CLASSES].argmax(1)
    target[labelled:] = -100
    return ImageSet.from_tensor(pixels, target, ("a", "b", "c"))


class MLP(nn.Sequential):
    """Images to logits; seeded."""

    def __init__(self, *, dropout: float = 0.0, bias: bool = True) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            layers = [nn.Flatten(), nn.Linear(9, 8, bias=bias), nn.ReLU(), nn.Linear(8, CLASSES, bias=bias)]
        super().__init__(*layers[:3], nn.Dropout(dropout), layers[3])


def settings(**changes: Any) -> Settings:
    """10 steps of 10 rows an epoch make 5 steps; two epochs."""
    return Settings(**{"epochs": 2, "batch_size": 10, "precision": "float32", "log_every": 1, **changes})


def make_job(
    train: Settings,
    *,
    model: nn.Module | None = None,
    terms: Mapping[str, Term] | None = None,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    data: ImageSet | None = None,
) -> Job:
    data = rows() if data is None else data
    plan = Plan(data.labelled, batch_size=train.batch_size, seed=train.seed)
    return Job(
        stage="student",
        seed=train.seed,
        distiller=Distiller(MLP() if model is None else model, terms or {"hard": Term(CrossEntropy())}),
        batches=Batches(data, plan, seed=train.seed),
        steps_per_epoch=plan.steps_per_epoch,
        settings=train,
        validate=validate,
    )


class Place:
    """A folder with the log and the checkpoints of one stage."""

    def __init__(self, folder: Path, *, key: str = "key", keep: int = 2) -> None:
        folder.mkdir(exist_ok=True)
        self.log = EventLog(folder / "events.jsonl")
        self.checkpoints = Checkpoints(folder / "checkpoints", key=key, keep=keep)

    def fit(self, job: Job, precision: torch.dtype = torch.float32) -> dict[str, Tensor]:
        weights = fit(
            job,
            accelerator=Accelerator(cpu=True),
            checkpoints=self.checkpoints,
            log=self.log,
            progress=SilentProgress(),
            precision=precision,
        )
        return weights["student"]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.path.read_text(encoding="utf-8").splitlines()]


class StoppedError(Exception):
    """A run that ends in the middle."""


def stopping(job: Job, step: int) -> Job:
    """The same job, ended by an exception before a step is taken."""
    whole = job.batches

    class Stopping:
        reads_student = False

        def iterate(self, start_step: int, stop_step: int) -> Any:
            for number, batch in enumerate(whole.iterate(start_step, stop_step), start_step):
                if number == step:
                    raise StoppedError
                yield batch

    return dataclasses.replace(job, batches=Stopping())
