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
from limbeck.models import sklearn_part
from limbeck.runs.keys import stage_key
from limbeck.training.batch_stream import batch_stream
from limbeck.training.checkpoint import Checkpoints
from limbeck.training.environment import processor
from limbeck.training.events import EventLog, join_events
from limbeck.training.fitting import fit_at_once
from limbeck.training.folder import RunFolder
from limbeck.training.loop import Job, fit
from limbeck.training.precision import choose, measure_bfloat16, supports_bfloat16
from limbeck.training.progress import Progress
from limbeck.training.settings import Settings
from limbeck.training.stage_store import StageStore

__all__ = ["Stage", "StageRunner", "Trained"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One model to train: what decides the result, and how to make the job.

    The job is made for a precision; for None it is one that shows what a step costs before any teacher is cached.
    """

    name: str
    seed: int
    reads: Mapping[str, Any]
    train: Settings
    job: Callable[[torch.dtype | None], Job]


@dataclass(frozen=True)
class Trained:
    """A finished training stage, and the weights of each of its learners."""

    key: str
    weights: dict[str, dict[str, Tensor]]


class StageRunner:
    """Runs the stages of one run one after the other; with ``finished_only``, refuses to train an unfinished stage."""

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
        self.store = StageStore(folder.stages)
        self.accelerator = accelerator
        self.progress = progress
        self.plugin = plugin
        self.fresh = fresh
        self.finished_only = finished_only
        self._environment: dict[str, Any] = json.loads(folder.environment.read_text(encoding="utf-8"))
        self.precisions: dict[str, str] = self._environment.get("precision", {})
        self._logs: list[EventLog] = []

    def train(self, stage: Stage, *, like: Stage | None = None) -> Trained:
        """The weights of a stage.

        Where its own section leaves the precision open, it computes in that of ``like``: the stage whose result its own
        will be compared with.
        """
        precision = self.precision(like if like is not None and stage.train.precision == "auto" else stage)
        key = stage_key(
            stage=stage.name,
            seed=stage.seed,
            reads=stage.reads,
            train=stage.train.key,
            precision=str(precision),
            # What the run began with: an inexact resume elsewhere continues with the same stages.
            **{name: self._environment[name] for name in ("processes", "threads", "device")},
            plugin=self.plugin,
        )
        log = None
        if self.accelerator.is_main_process:
            log = EventLog(self.folder.stage_events(stage.name, stage.seed))
        folder = None if self.fresh else self._find(key)
        if folder is None and self.finished_only:
            raise CacheError(
                f"{stage.name} is not trained yet, so nothing can be cached of it; `limbeck cache build` does",
                code="not_ready",
            )
        if folder is None:
            folder = self._train(stage, key, log, precision)
        else:
            self.progress.note(f"{stage.name}, seed {stage.seed}: taken from an earlier run")
            if log is not None:
                log.replace((folder / "events.jsonl").read_bytes())
        if log is not None:
            self._logs.append(log)
            join_events(self.folder.events, self._logs)
        return Trained(key, {file.stem: load_file(file) for file in sorted(folder.glob("*.safetensors"))})

    def _train(self, stage: Stage, key: str, log: EventLog | None, precision: torch.dtype) -> Path:
        checkpoints = Checkpoints(
            self.folder.checkpoints(f"{stage.name}-seed{stage.seed}"), key=key, keep=stage.train.keep_checkpoints
        )
        # A loss draws its own initial weights, and those must not depend on what this process has trained before.
        set_seed(stage.seed)
        job = stage.job(precision)
        if sklearn_part(job.student) is not None:
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
        # A teacher in it is measured later: to the bit like a teacher that no training of this process has used.
        job.distiller.to(memory_format=torch.contiguous_format)
        self.accelerator.free_memory()

        def write(beside: Path) -> None:
            for learner, tensors in weights.items():
                save_file(
                    {name: value.contiguous() for name, value in tensors.items()}, beside / f"{learner}.safetensors"
                )
            (beside / "events.jsonl").write_bytes(log.written() if log is not None else b"")

        return self._create(key, stage.name, write, kind="train", seed=stage.seed)

    def _create(
        self, key: str, name: str, write: Callable[[Path], None], *, kind: str, seed: int | None = None
    ) -> Path:
        """Fill a stage in the main process; every process returns its folder."""
        if self.accelerator.is_main_process:
            self._publish(key, name, write, kind=kind, seed=seed)
        self.accelerator.wait_for_everyone()
        return self.store.root / key

    def _publish(
        self, key: str, name: str, write: Callable[[Path], None], *, kind: str, seed: int | None = None
    ) -> Path:
        if self.fresh:
            self.store.drop(key)
        return self.store.publish(key, name, write, kind=kind, seed=seed)

    def get_or_create(
        self,
        key: str,
        name: str,
        write: Callable[[Path], None],
        *,
        kind: str,
        seed: int | None = None,
        main_process_only: bool = False,
    ) -> Path:
        """The folder of a stage other than a training: an earlier one if it exists, otherwise ``write`` fills it.

        Args:
            key: the hash of everything that the stage reads.
            name: of the stage.
            write: fills a new folder.
            kind: of the stage, such as ``compress``.
            seed: of its random draws; None if it draws nothing.
            main_process_only: whether the call is made in the main process alone, rather than in all processes.
        """
        find, create = (self.store.find, self._publish) if main_process_only else (self._find, self._create)
        folder = None if self.fresh else find(key)
        return create(key, name, write, kind=kind, seed=seed) if folder is None else folder

    def _find(self, key: str) -> Path | None:
        # Processes that check one after the other could see different states: the main process checks for all.
        exists = [self.accelerator.is_main_process and self.store.find(key) is not None]
        broadcast_object_list(exists)
        return self.store.root / key if exists[0] else None

    def precision(self, stage: Stage) -> torch.dtype:
        """In which a stage computes: as its section says, or as was measured here.

        Raises:
            ArgumentError: if this machine does not compute so.
        """
        wanted, device = stage.train.precision, self.accelerator.device
        if wanted == "bfloat16" and not supports_bfloat16(device):
            raise ArgumentError(
                f"precision is bfloat16, which this {device.type} does not compute; take auto or float32",
                code="unsupported",
                path="precision",
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
            batch_size=stage.train.batch_size,
            machine=[processor(), str(device), torch.__version__, torch.get_num_threads()],
        )

        def write(beside: Path) -> None:
            job = stage.job(None)
            batch = next(batch_stream(job.batches, 0, 1, job.distiller))
            job.distiller.prepare([batch])
            write_json(beside / "precision.json", {"speedup": measure_bfloat16(job.distiller, batch, device=device)})

        folder = self._find(key) or self._create(key, "precision", write, kind="measure")
        return choose(json.loads((folder / "precision.json").read_text(encoding="utf-8"))["speedup"])
