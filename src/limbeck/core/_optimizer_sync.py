"""When one training step of several optimizers is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer

from limbeck.errors import ArgumentError

__all__ = ["OptimizerSync"]


class OptimizerSync:
    """Calls ``after_round`` once for each round of steps: after the last optimizer's.

    A step that a grad scaler skips is none. Where the last optimizer has skipped, the round is closed as soon as the
    next one begins; a round in which all have skipped never was one.

    Args:
        optimizers: those that step once each in every training step, in the order in which they do.
        after_round: called when a round is over.

    Raises:
        ArgumentError: if there is none, or one is given twice.
    """

    def __init__(self, optimizers: Sequence[Optimizer], after_round: Callable[[], None]) -> None:
        # Accelerate hands out a wrapper that steps the real optimizer.
        self._optimizers = [getattr(optimizer, "optimizer", optimizer) for optimizer in optimizers]
        self._latest = -1
        self._after_round = after_round
        if not optimizers:
            raise ArgumentError(
                "attach needs at least one optimizer; it was given none", code="missing", path="optimizers"
            )
        if len({id(optimizer) for optimizer in self._optimizers}) < len(optimizers):
            raise ArgumentError(
                "attach was given one optimizer twice; every step would count twice",
                code="duplicate",
                path="optimizers",
            )
        for optimizer in self._optimizers:
            optimizer.register_step_pre_hook(self._before)
            optimizer.register_step_post_hook(self._after)

    def _before(self, optimizer: Optimizer, *_: Any) -> None:
        if self._position(optimizer) <= self._latest:
            self._close()

    def _after(self, optimizer: Optimizer, *_: Any) -> None:
        # A fused optimizer is called for a skipped step too, and the grad scaler has it leave the weights alone.
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and found_inf:
            return
        self._latest = self._position(optimizer)
        if self._latest == len(self._optimizers) - 1:
            self._close()

    def _position(self, optimizer: Optimizer) -> int:
        return next(position for position, other in enumerate(self._optimizers) if other is optimizer)

    def _close(self) -> None:
        self._latest = -1
        self._after_round()
