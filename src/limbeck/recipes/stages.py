"""Training stages: taken from the store where they are finished, trained where they are not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed
from safetensors.torch import load_file, save_file
from torch import Tensor

from limbeck.errors import ArgumentError, CacheError
from limbeck.files import write_json
from limbeck.recipes.keys import settings_key, stage_key
from limbeck.students import fitted_part
from limbeck.training.checkpoint import Checkpoints
from limbeck.training.environment import processor
from limbeck.training.events import EventLog
from limbeck.training.fitting import fit_at_once
from limbeck.training.folder import RunFolder
from limbeck.training.loop import Job, fit
from limbeck.training.precision import choose, measure_bfloat16, supports_bfloat16
from limbeck.training.progress import Progress
from limbeck.training.settings import Settings
from limbeck.training.store import Store

__all__ = ["Stage", "Stages", "Trained"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One model to train: what decides the result, and how to make the job.

    The job is made for a precision; for None it is one that shows what a step costs before any teacher is cached.
    """

    name: str
    seed: int
    reads: Mapping[str, Any]
    train: Mapping[str, Any]
    job: Callable[[torch.dtype | None], Job]


@dataclass(frozen=True)
class Trained:
    """A finished training stage, and the weights of each of its learners."""

    key: str
    weights: dict[str, dict[str, Tensor]]


class Stages:
    """Runs the stages of one run, one after the other; with ``finished_only``, refuses to train what is not there."""

    def __init__(
        self,
        folder: RunFolder,
        *,
        accelerator: Accelerator,
        progress: Progress,
        plugin: str | None,
        fresh: bool,
        finished_only: bool = False,
    ) -> None:
        self.folder = folder
        self.store = Store(folder.stages)
        self.accelerator = accelerator
        self.progress = progress
        self.plugin = plugin
        self.fresh = fresh
        self.finished_only = finished_only
        self._environment: dict[str, Any] = json.loads(folder.environment.read_text(encoding="utf-8"))
        self.precisions: dict[str, str] = self._environment.get("precision", {})
        self._logged = 0

    def train(self, stage: Stage, *, like: Stage | None = None) -> Trained:
        """The weights of a stage.

        Where its own section leaves the precision open, it computes in that of ``like``: the stage whose result its own
        will be compared with.
        """
        precision = self.precision(like if like is not None and stage.train["precision"] == "auto" else stage)
        key = stage_key(
            stage=stage.name,
            seed=stage.seed,
            reads=stage.reads,
            train=settings_key(stage.train),
            precision=str(precision),
            # Those that the run began with: an inexact resume with others goes on with the same stages.
            processes=self._environment["processes"],
            plugin=self.plugin,
        )
        log = EventLog(self.folder.events, self._logged) if self.accelerator.is_main_process else None
        found = None if self.fresh else self._find(key)
        if found is None and self.finished_only:
            raise CacheError(
                f"{stage.name} is not trained yet, so nothing can be cached of it; `limbeck cache build` does"
            )
        if found is None:
            found = self._train(stage, key, log, precision)
        else:
            self.progress.note(f"{stage.name}, seed {stage.seed}: taken from an earlier run")
            if log is not None:
                log.replay((found / "events.jsonl").read_bytes())
        self._logged += (found / "events.jsonl").stat().st_size
        return Trained(key, {file.stem: load_file(file) for file in sorted(found.glob("*.safetensors"))})

    def _train(self, stage: Stage, key: str, log: EventLog | None, precision: torch.dtype) -> Path:
        settings = Settings(**stage.train)
        checkpoints = Checkpoints(
            self.folder.checkpoints(f"{stage.name}-seed{stage.seed}"), key=key, keep=settings.keep_checkpoints
        )
        # A loss draws its own initial weights, and those must not depend on what this process has trained before.
        set_seed(stage.seed)
        job = stage.job(precision)
        if fitted_part(job.student) is not None:
            weights = fit_at_once(job, device=self.accelerator.device, log=log, progress=self.progress)
        else:
            weights = fit(
                job,
                accelerator=self.accelerator,
                checkpoints=checkpoints,
                log=log,
                progress=self.progress,
                precision=precision,
            )
        # A teacher in it is measured later: like one that has taught nobody in this process, to the bit.
        job.distiller.to(memory_format=torch.contiguous_format)
        self.accelerator.free_memory()

        def write(beside: Path) -> None:
            for learner, tensors in weights.items():
                save_file(
                    {name: value.contiguous() for name, value in tensors.items()}, beside / f"{learner}.safetensors"
                )
            (beside / "events.jsonl").write_bytes(log.written() if log is not None else b"")

        return self.once(key, stage.name, write)

    def once(self, key: str, name: str, write: Callable[[Path], None]) -> Path:
        """Let the main process fill a stage, and all processes find it."""
        if self.accelerator.is_main_process:
            self._publish(key, name, write)
        self.accelerator.wait_for_everyone()
        return self.store.root / key

    def _publish(self, key: str, name: str, write: Callable[[Path], None]) -> Path:
        if self.fresh:
            self.store.drop(key)
        return self.store.publish(key, name, write)

    def obtain(self, key: str, name: str, write: Callable[[Path], None]) -> Path:
        """The folder of a stage that is not training: finished before, or filled now."""
        found = None if self.fresh else self._find(key)
        return self.once(key, name, write) if found is None else found

    def kept(self, key: str, name: str, write: Callable[[Path], None]) -> Path:
        """The same within what the main process does alone."""
        found = None if self.fresh else self.store.find(key)
        return self._publish(key, name, write) if found is None else found

    def _find(self, key: str) -> Path | None:
        # Processes that look one after the other could see different things: the main one looks for all.
        found = [self.accelerator.is_main_process and self.store.find(key) is not None]
        broadcast_object_list(found)
        return self.store.root / key if found[0] else None

    def precision(self, stage: Stage) -> torch.dtype:
        """In which a stage computes: as its section says, or as was measured here.

        Raises:
            ArgumentError: if this machine does not compute so.
        """
        wanted, device = stage.train["precision"], self.accelerator.device
        if wanted == "bfloat16" and not supports_bfloat16(device):
            raise ArgumentError(
                f"precision is bfloat16, which this {device.type} does not compute; take auto or float32"
            )
        if wanted == "auto" and stage.name in self.precisions:
            # A run keeps what it began with, also where it is resumed on another machine.
            return torch.bfloat16 if self.precisions[stage.name] == "bfloat16" else torch.float32
        if wanted != "auto" or not supports_bfloat16(device):
            chosen = torch.bfloat16 if wanted == "bfloat16" else torch.float32
        else:
            chosen = self._measured_precision(stage)
        self._record(stage.name, chosen)
        return chosen

    def _record(self, name: str, chosen: torch.dtype) -> None:
        precision = str(chosen).removeprefix("torch.")
        if self.precisions.get(name) == precision:
            return
        self.precisions[name] = precision
        if self.accelerator.is_main_process:
            write_json(self.folder.environment, {**self._environment, "precision": self.precisions})

    def _measured_precision(self, stage: Stage) -> torch.dtype:
        # Measured once for a machine and a stage: a second measurement could go the other way, and resume differently.
        device = self.accelerator.device
        key = stage_key(
            measured="bfloat16",
            stage=stage.name,
            reads={name: part for name, part in stage.reads.items() if name != "upstream"},
            batch_size=stage.train["batch_size"],
            machine=[processor(), str(device), torch.__version__, torch.get_num_threads()],
        )

        def write(beside: Path) -> None:
            job = stage.job(None)
            batch = next(job.batches.iterate(0, 1))
            job.distiller.prepare([batch])
            write_json(beside / "precision.json", {"speedup": measure_bfloat16(job.distiller, batch, device=device)})

        found = self._find(key) or self.once(key, "precision", write)
        return choose(json.loads((found / "precision.json").read_text(encoding="utf-8"))["speedup"])
