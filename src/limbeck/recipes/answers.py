"""What models and files say of the test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from limbeck.core import Address, logits_of
from limbeck.files import file_hash
from limbeck.recipes.keys import initial_key, stage_key
from limbeck.recipes.stages import Stages
from limbeck.tasks import Batch, Task, TrainingRows

__all__ = ["Answers", "Said"]

# Logits and targets of all test rows, as the scoring of the task takes them.
Said: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int64]]


class Answers:
    """What models and files say of the test rows: each is asked once, a finished teacher once for all runs beside.

    Args:
        recipe: as `resolve` gives it.
        task: with the data loaded.
        stages: where a teacher's answers are kept.
        taught: what decides the weights of finished teachers, by name.
        machine: what the last digits depend on.
    """

    def __init__(
        self,
        recipe: Mapping[str, Any],
        task: Task,
        stages: Stages,
        *,
        taught: Mapping[str, str],
        machine: list[Any],
    ) -> None:
        self.recipe = recipe
        self.task = task
        self.stages = stages
        self.taught = taught
        self.machine = machine
        self._known: dict[nn.Module | str, Said] = {}

    def of_model(self, name: str, model: nn.Module, inputs: Address) -> Said:
        """What a model of this name says, in eval mode; it reads this address."""

        def ask() -> Said:
            return self.task.logits(partial(logits_of, model.eval(), inputs=inputs), self.task.test)

        return self._once(model, partial(self._kept, name, inputs, ask) if name in self.taught else ask)

    def of_file(self, file: Path, read: Callable[[Batch], Tensor]) -> Said:
        """What a file says; ``read`` turns a batch into its logits. A copy of it says the same."""
        return self._once(file_hash(file), lambda: self.task.logits(read, self.task.test))

    def _once(self, one: nn.Module | str, ask: Callable[[], Said]) -> Said:
        if one not in self._known:
            self._known[one] = ask()
        return self._known[one]

    def _kept(self, name: str, inputs: Address, ask: Callable[[], Said]) -> Said:
        key = stage_key(
            stage="answers",
            upstream=self.taught[name],
            model=initial_key(self.recipe["models"][name]),
            inputs=inputs,
            task=self.recipe["task"],
            classes=list(self.task.classes),
            test=self.task.key(TrainingRows(self.task.test)),
            machine=self.machine,
        )

        def write(beside: Path) -> None:
            logits, target = ask()
            save_file({"logits": logits, "target": target}, beside / "answers.safetensors")

        said = load_file(self.stages.kept(key, "answers", write) / "answers.safetensors")
        return said["logits"], said["target"]
