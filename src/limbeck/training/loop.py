"""The loop of one stage: steps, validation, checkpoints. What a step computes is the Distiller's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list, gather_object, set_seed
from torch import Tensor, nn

from limbeck.core import Distiller, Mean, StepOutput
from limbeck.errors import DivergedError
from limbeck.models import WithExits
from limbeck.tasks import Batch, BatchSource, OnPolicySource
from limbeck.training.batch_stream import batch_stream
from limbeck.training.checkpoint import Checkpoints, random_state, restore_random_state
from limbeck.training.events import EventLog
from limbeck.training.micro_batches import micro_batches
from limbeck.training.optimizers import make_optimizers, rate_factor
from limbeck.training.progress import Progress
from limbeck.training.settings import Settings

__all__ = ["Job", "fit"]

_Readings: TypeAlias = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one stage trains, and on what.

    Args:
        higher_is_better: the direction of the first score of ``validate``, which decides the best epoch and patience.
        own: the settings of learners with an optimizer of their own, by name.
        trained_states: gives the states that the training leaves in teachers, by name.
        rows: gives all rows once, as they are, for a student that is fitted at once.
    """

    stage: str
    seed: int
    distiller: Distiller
    batches: BatchSource | OnPolicySource
    steps_per_epoch: int
    settings: Settings
    validate: Callable[[nn.Module], Mapping[str, float]] | None
    higher_is_better: bool = True
    own: Mapping[str, Settings] = field(default_factory=dict)
    trained_states: Callable[[], dict[str, dict[str, Tensor]]] = dict
    rows: Callable[[], Iterator[Batch]] = lambda: iter(())

    @property
    def total(self) -> int:
        return self.steps_per_epoch * self.settings.epochs

    @property
    def of_optimizers(self) -> list[Settings]:
        """The settings of every optimizer, in the order in which they step."""
        return [self.settings, *self.own.values()]

    @property
    def learners(self) -> dict[str, nn.Module]:
        """What is trained, by name; the first is the student."""
        return {name: tapped.model for name, tapped in self.distiller.students.items()}

    @property
    def student(self) -> nn.Module:
        """The student as it is shipped: without its exits, if it has some."""
        student = self.learners["student"]
        return student.model if isinstance(student, WithExits) else student

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The weights of every learner, and what the training leaves in teachers."""
        return {**{name: model.state_dict() for name, model in self.learners.items()}, **self.trained_states()}


def fit(
    job: Job,
    *,
    accelerator: Accelerator,
    checkpoints: Checkpoints,
    log: EventLog | None,
    progress: Progress,
    precision: torch.dtype,
) -> dict[str, dict[str, Tensor]]:
    """Train to the end, from the newest checkpoint of this stage if there is one; each learner's weights to keep.

    Raises:
        DivergedError: if a loss is not finite; it names the step, the term and the last checkpoint.
    """
    loop = _Loop(job, accelerator, checkpoints, log, precision)
    loop.restore()
    progress.start(job.stage, job.seed, job.total, loop.step)
    while loop.step < job.total and not loop.stopped:
        loop.epoch(progress)
    progress.finish()
    return loop.kept()


class _Loop:
    """The state of a stage between two steps. Everything here that changes goes into a checkpoint."""

    def __init__(
        self,
        job: Job,
        accelerator: Accelerator,
        checkpoints: Checkpoints,
        log: EventLog | None,
        precision: torch.dtype,
    ) -> None:
        self.job = job
        self.accelerator = accelerator
        self.checkpoints = checkpoints
        self.log = log
        self.precision = precision
        # Before a seed of its own: what losses draw and learn here is the same on every process.
        set_seed(job.seed)
        job.distiller.to(accelerator.device).prepare(self._first_batches())
        set_seed(job.seed + accelerator.process_index)
        self.optimizers = make_optimizers(job.settings, job.own, job.distiller)
        self.step = 0
        # The best score of validation so far; negated where lower is better.
        self.best = -math.inf
        self.waited = 0
        self.seconds = 0.0
        self.saved_at = time.monotonic()
        self.resumed_at = time.monotonic()

    @property
    def stopped(self) -> bool:
        patience = self.job.settings.patience
        return patience is not None and self.waited >= patience

    @property
    def _logged(self) -> bool:
        """Whether the step to come stands in the log."""
        return (self.step + 1) % self.job.settings.log_every == 0

    def restore(self) -> None:
        """Go to where the newest checkpoint was written, and hand model and optimizer to Accelerate."""
        state = self.checkpoints.latest()
        if state is not None:
            self.job.distiller.load_state_dict(state["distiller"])
        prepared = self.accelerator.prepare(self.job.distiller, *self.optimizers)
        self.model: nn.Module = prepared[0]
        self.steppers: Sequence[torch.optim.Optimizer] = prepared[1:]
        self.model.train()
        if state is None:
            if self.log is not None:
                self.log.cut(0)
            return
        for optimizer, found in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(found)
        self.step, self.best, self.waited = state["step"], state["best"], state["waited"]
        self.seconds = state["seconds"]
        if self.log is not None:
            self.log.cut(state["events"])
        # An inexact resume may have more processes than the run had: these keep the state of their seed.
        for random in state["random"][self.accelerator.process_index :][:1]:
            restore_random_state(random)

    def epoch(self, progress: Progress) -> None:
        """The rest of the current epoch, and its validation."""
        job = self.job
        epoch = self.step // job.steps_per_epoch
        stop = (epoch + 1) * job.steps_per_epoch
        for batch in batch_stream(job.batches, self.step, stop, job.distiller):
            logged = self._logged
            means, loss, readings = self._train(batch)
            if logged:
                values = {"loss": round(self._mean_of_processes(loss), 6), "terms": self._values(means)}
                self._log(epoch, {**values, **readings})
            self.step += 1
            progress.advance(self.step, loss)
            if self.step == stop:
                self._validate(epoch, progress)
            if self._due(logged or self.step == stop):
                self.save()

    def _set_rates(self) -> None:
        for optimizer, settings in zip(self.optimizers, self.job.of_optimizers, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate_factor(settings, self.step, self.job.total)

    def _train(self, batch: Batch) -> tuple[dict[str, Mean], float, _Readings]:
        accelerator = self.accelerator
        self._set_rates()
        parts = self._split(batch)
        alone = len(parts) == 1 and accelerator.num_processes == 1
        counts = None if alone else self.job.distiller.counts(parts)
        means: dict[str, Mean] = {}
        total = 0.0
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            with nullcontext() if last else accelerator.no_sync(self.model):
                with self._autocast():
                    output: StepOutput = self.model(part)
                loss = output.loss(counts)
                total += self._finite(loss, output)
                accelerator.backward(loss)
            for name, mean in output.terms.items():
                before = means.get(name, Mean(torch.zeros_like(mean.sum), torch.zeros_like(mean.count)))
                means[name] = Mean(before.sum + mean.sum.detach(), before.count + mean.count)
        # Before the step: what was in force in it.
        readings = self._readings(output) if self._logged else {}
        self._move()
        return means, total, readings

    def _move(self) -> None:
        """One step of every optimizer whose turn it is, and of all state that follows the training step."""
        stepping = []
        for stepper, settings in zip(self.steppers, self.job.of_optimizers, strict=True):
            if settings.steps_at(self.step):
                stepping.append(stepper)
            else:
                # Before clipping, so that the norm is that of the gradients in use.
                stepper.zero_grad()
        if self.job.settings.clip is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.job.settings.clip)
        for stepper in stepping:
            stepper.step()
        self.job.distiller.after_step()
        for stepper in stepping:
            stepper.zero_grad()

    def _readings(self, output: StepOutput) -> _Readings:
        """The weights in force, and what else the distiller has to tell; equal on all processes and micro-batches."""
        weights = {name: torch.as_tensor(w).item() for name, w in output.weights.per_term.items()}
        readings = {"weights": weights, **self.job.distiller.readings()}
        return {group: {name: _rounded(v) for name, v in values.items()} for group, values in readings.items()}

    def _first_batches(self) -> list[Batch]:
        """What losses learn from before the first step: on every process, the micro-batches of the main one."""
        first = batch_stream(self.job.batches, 0, self.job.distiller.prepare_batches, self.job.distiller)
        batches = list(first)
        if self.accelerator.num_processes > 1:
            broadcast_object_list(batches)
        return [part for batch in batches for part in self._split(batch)]

    def _split(self, batch: Batch) -> list[Batch]:
        return micro_batches(batch, self.job.settings.accumulate, self.accelerator.device)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.accelerator.device.type, dtype=self.precision)

    def _finite(self, loss: Tensor, output: StepOutput) -> float:
        value = loss.item()
        if math.isfinite(value):
            return value
        bad = [name for name, mean in output.terms.items() if not math.isfinite(mean.sum.item())]
        names = ", ".join(map(repr, bad or output.terms))
        raise self._diverged(f"the loss is {value} at step {self.step + 1}, by the term {names}")

    def _diverged(self, what: str) -> DivergedError:
        newest = self.checkpoints.newest
        return DivergedError(
            f"{self.job.stage}, seed {self.job.seed}: {what}; lower the learning rate or set train.clip. "
            f"The last good checkpoint is {newest if newest is not None else 'none: it diverged before the first'}",
            code="not_finite",
            path=self.job.stage,
        )

    def _values(self, means: Mapping[str, Mean]) -> dict[str, float]:
        if self.accelerator.num_processes > 1:
            table = torch.stack([torch.stack(mean) for mean in means.values()])
            table = self.accelerator.reduce(table)
            means = {name: Mean(*row) for name, row in zip(means, table.unbind(), strict=True)}
        return {name: round(mean.value.item(), 6) for name, mean in means.items()}

    def _mean_of_processes(self, loss: float) -> float:
        if self.accelerator.num_processes == 1:
            return loss
        value = torch.tensor(loss, dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(value, "mean"))

    def _log(self, epoch: int, values: Mapping[str, Any]) -> None:
        if self.log is not None:
            self.log.write({**self._place(epoch, self.step + 1), **values})

    def _place(self, epoch: int, step: int) -> dict[str, Any]:
        seconds = round(self.seconds + time.monotonic() - self.resumed_at, 3)
        return {"stage": self.job.stage, "seed": self.job.seed, "step": step, "epoch": epoch, "seconds": seconds}

    def _validate(self, epoch: int, progress: Progress) -> None:
        if self.job.validate is None:
            return
        self.model.eval()
        scores = dict(self.job.validate(self.job.student)) if self.accelerator.is_main_process else {}
        self.model.train()
        if self.log is not None:
            self.log.write({**self._place(epoch, self.step), "validation": scores})
        progress.validated(epoch, scores)
        score = self._from_main(next(iter(scores.values()), 0.0))
        if not self.job.higher_is_better:
            score = -score
        if score > self.best:
            self.best, self.waited = score, 0
            if self.job.settings.watches_validation and self.accelerator.is_main_process:
                self.checkpoints.save_best({"weights": self.job.weights()})
        else:
            self.waited += 1

    def _from_main(self, value: float) -> float:
        if self.accelerator.num_processes == 1:
            return value
        return float(broadcast(torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)))

    def _due(self, together: bool) -> bool:
        every = self.job.settings.checkpoint_every
        if every == 0:
            return True
        if self.accelerator.num_processes == 1:
            return time.monotonic() - self.saved_at >= every
        # Clocks differ between processes: the main one decides, at steps on which all of them ask.
        return together and bool(self._from_main(float(time.monotonic() - self.saved_at >= every)))

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        self.saved_at = time.monotonic()
        states = gather_object([random_state()]) if self.accelerator.num_processes > 1 else [random_state()]
        if not self.accelerator.is_main_process:
            return
        self._check_weights()
        state = {
            "distiller": self.job.distiller.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "best": self.best,
            "waited": self.waited,
            "seconds": self.seconds + time.monotonic() - self.resumed_at,
            "events": 0 if self.log is None else self.log.position,
            "random": states,
        }
        self.checkpoints.save(self.step, state)

    def _check_weights(self) -> None:
        for name, parameter in self.job.distiller.named_parameters():
            if not parameter.isfinite().all():
                raise self._diverged(f"{name} is not finite after step {self.step}")

    def kept(self) -> dict[str, dict[str, Tensor]]:
        """The weights that the settings ask for: the last ones, or those of the student's best epoch.

        Raises:
            DivergedError: if the last step has left some that are not finite.
        """
        self._check_weights()
        if self.job.settings.watches_validation and self.job.validate is not None:
            self.accelerator.wait_for_everyone()
            best: dict[str, dict[str, Tensor]] = self.checkpoints.best()["weights"]
            return best
        return {
            learner: {name: value.detach().cpu().clone() for name, value in weights.items()}
            for learner, weights in self.job.weights().items()
        }


def _rounded(value: float) -> float:
    """Six digits: norms of gradients can be far below 1."""
    return float(f"{value:.6g}")
