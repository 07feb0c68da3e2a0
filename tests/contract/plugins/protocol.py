"""A protocol that adds stages: the student is trained again, from the weights of its first training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limbeck.registry import register
from limbeck.runs import RunProtocol, StageSpec


@register("protocol", "warm_restarts")
class WarmRestarts(RunProtocol):
    """Train the student several times, each time from the weights of the time before.

    Args:
        restarts: the number of further trainings.
    """

    def __init__(self, *, restarts: int = 1) -> None:
        self.restarts = restarts

    def stages(self, default: Sequence[StageSpec]) -> Sequence[StageSpec]:
        return [self._restarted(stage) if stage.role == "student" else stage for stage in default]

    def _restarted(self, stage: StageSpec) -> StageSpec:
        for number in range(1, self.restarts + 1):
            stage = replace(
                stage, name=f"student_restart{number}", needs=(*stage.needs, stage), initial={"student": stage}
            )
        return stage
