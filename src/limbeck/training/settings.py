"""How a stage trains. The constructor of `Settings` is the schema of every ``train:`` section."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from limbeck.errors import ArgumentError

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The training of one model.

    Args:
        epochs: passes over the training rows.
        batch_size: rows for each optimizer step, over all processes and micro-batches.
        learning_rate: the peak of the schedule.
        weight_decay: the optimizer's, where it has one.
        optimizer: an optimizer of ``torch.optim`` by name, in any case.
        optimizer_options: what else its constructor takes.
        schedule: how the learning rate falls.
        warmup: the share of all steps over which the rate rises from 0.
        accumulate: micro-batches for each optimizer step.
        turn: of how many training steps the optimizer takes one. In the others its gradients are dropped and its state
            stays, as that of Adam would not with a weight of 0. A generator with 5 trains its discriminator 5 times as
            often.
        turn_offset: which of these steps it takes, from 0.
        clip: the largest norm of the gradient; none if null.
        precision: ``auto`` takes bfloat16 where it is measured faster.
        select: which weights are kept: of the last step, or of the epoch with the best validation score.
        patience: epochs without a better validation score before training stops; never if null.
        seed: of initial weights, data order and augmentation; run k of ``seeds`` adds k.
        log_every: optimizer steps between two logged ones.
        checkpoint_every: seconds between two checkpoints; 0 writes one at every step.
        keep_checkpoints: how many of the latest stay.
        finetune: settings that differ in a last stage on hard labels alone; no such stage if null.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    optimizer: str = "adamw"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Literal["constant", "cosine", "linear", "step", "exponential", "one_cycle"] = "cosine"
    warmup: float = 0.05
    accumulate: int = 1
    turn: int = 1
    turn_offset: int = 0
    clip: float | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    select: Literal["last", "best"] = "last"
    patience: int | None = None
    seed: int = 0
    log_every: int = 10
    checkpoint_every: float = 20.0
    keep_checkpoints: int = 2
    finetune: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "turn", "log_every", "keep_checkpoints"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        rate = self.learning_rate
        _require("learning_rate", rate, math.isfinite(rate) and rate > 0, "a finite number above 0")
        decay = self.weight_decay
        _require("weight_decay", decay, math.isfinite(decay) and decay >= 0, "a finite number, at least 0")
        _require("warmup", self.warmup, 0 <= self.warmup < 1, "a share from 0 to below 1")
        _require("seed", self.seed, 0 <= self.seed < 2**31, "from 0 to below 2**31")
        _require(
            "turn_offset", self.turn_offset, 0 <= self.turn_offset < self.turn, f"from 0 to below turn={self.turn}"
        )
        _require("checkpoint_every", self.checkpoint_every, self.checkpoint_every >= 0, "at least 0 seconds")
        if self.clip is not None:
            _require("clip", self.clip, math.isfinite(self.clip) and self.clip > 0, "a finite number above 0, or null")
        if self.patience is not None:
            _require("patience", self.patience, self.patience >= 1, "at least 1 epoch, or null")
        if self.batch_size % self.accumulate:
            raise ArgumentError(
                f"batch_size {self.batch_size} cannot be cut into accumulate={self.accumulate} equal micro-batches; "
                "choose a multiple",
                path="accumulate",
            )

    def steps_at(self, step: int) -> bool:
        """Whether the optimizer takes this training step, counted from 0.

        >>> [Settings(turn=3, turn_offset=2).steps_at(step) for step in range(6)]
        [False, False, True, False, False, True]
        """
        return step % self.turn == self.turn_offset

    @property
    def watches_validation(self) -> bool:
        """Whether validation labels decide which weights are kept."""
        return self.select == "best" or self.patience is not None

    @property
    def key(self) -> dict[str, Any]:
        """The settings that decide the weights, beside the seed: not how often something is written."""
        return {name: value for name, value in asdict(self).items() if name not in _silent}


# The precision that was chosen and the seed have keys of their own; the last stage is another one.
_silent = ("log_every", "checkpoint_every", "keep_checkpoints", "precision", "finetune", "seed")


def _require(name: str, value: float, holds: bool, what: str) -> None:
    if not holds:
        raise ArgumentError(f"{name} is {value}; it must be {what}", path=name)
