"""A protocol that adds two baselines: a control that trains longer, and the mean of the weights of two controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from limbeck.registry import register
from limbeck.runs import RunProtocol, StageSpec


@register("protocol", "baselines")
class Baselines(RunProtocol):
    """Compare the student with a control of more epochs, and with the mean of both controls.

    Args:
        factor: by which the epochs of the longer control are multiplied.
        name: of the longer control.
        optimizer: of the longer control.
    """

    def __init__(self, *, factor: int = 2, name: str = "longer", optimizer: str = "adamw") -> None:
        self.factor = factor
        self.name = name
        self.optimizer = optimizer

    def stages(self, default: Sequence[StageSpec]) -> Sequence[StageSpec]:
        return [*default, *(stage for control in default for stage in self._beside(control))]

    def _beside(self, control: StageSpec) -> Iterator[StageSpec]:
        if control.role != "control" or control.training is None:
            return
        epochs = self.factor * control.training.train.epochs
        train = replace(control.training.train, epochs=epochs, optimizer=self.optimizer)
        longer = replace(control, name="longer", role=self.name, training=replace(control.training, train=train))
        yield longer
        yield StageSpec(name="mean", seed=control.seed, role="mean", kind="merge", needs=(control, longer))
