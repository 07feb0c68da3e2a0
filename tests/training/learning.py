"""A job with losses that learn before the first step; as a script, one of several processes that prepare it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import nn

from limbeck.core import Distiller, Tapped, Term
from limbeck.data import Batches, Plan
from limbeck.losses import CrossEntropy, FactorTransfer, Overhaul
from limbeck.teachers import Frozen
from limbeck.training.loop import Job, _Loop
from limbeck.training.settings import Settings
from training.toys import make_job, rows, settings

__all__ = ["Maps", "learned", "learning_job"]

TAP = {"maps": "0"}


class Maps(nn.Sequential):
    """Images to logits, by way of maps that are partly below 0; seeded."""

    def __init__(self, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))


def learning_job(train: Settings, *, rank: int = 0, world: int = 1) -> Job:
    """A job with losses that learn from more batches than one."""
    inputs = {"student": "student.maps", "teacher": "teacher.maps"}
    terms = {
        "hard": Term(CrossEntropy()),
        "overhaul": Term(Overhaul(), inputs),
        "factors": Term(FactorTransfer(paraphraser_steps=20), inputs),
    }
    plan = Plan(rows().labelled, batch_size=train.batch_size, seed=train.seed)
    return dataclasses.replace(
        make_job(train),
        distiller=Distiller(Tapped(Maps(0), TAP), terms, {"teacher": Frozen(Maps(1), TAP)}),
        batches=Batches(rows(), plan, seed=train.seed, rank=rank, world=world),
    )


def learned(job: Job, accelerator: Accelerator) -> dict[str, torch.Tensor]:
    """All parameters and buffers of the losses before the first step, and before anything makes processes equal."""
    _Loop(job, accelerator, None, None, torch.float32)
    return {
        f"{name}.{key}": value
        for name, term in job.distiller.terms.items()
        for key, value in term.loss.state_dict().items()
    }


if __name__ == "__main__":
    accelerator = Accelerator(cpu=True)
    rank, world = accelerator.process_index, accelerator.num_processes
    save_file(
        learned(learning_job(settings(), rank=rank, world=world), accelerator),
        Path(sys.argv[1]) / f"{rank}-of-{world}.safetensors",
    )
    accelerator.wait_for_everyone()
