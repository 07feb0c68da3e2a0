"""Outputs of models and exported files on the test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from safetensors.numpy import load_file, save_file
from torch import nn

from limbeck.core import Address, outputs_of
from limbeck.files import file_hash
from limbeck.recipes.recipe import Recipe
from limbeck.runs.keys import stage_key
from limbeck.runs.stages import StageRunner
from limbeck.tasks import Arrays, Task, TrainingRows
from limbeck.tasks.task import Read

__all__ = ["OutputsAndLabels", "TestOutputs"]

# Outputs and labels of all test rows by name, as the scoring of the task reads them.
OutputsAndLabels: TypeAlias = tuple[Arrays, Arrays]


class TestOutputs:
    """Outputs of models and exported files on the test rows, each computed once.

    The outputs of trained teachers are stored for all runs in the same folder.

    Args:
        recipe: parsed.
        task: with the data loaded.
        runner: stores the outputs of teachers.
        teacher_keys: the keys of the weights of trained teachers, by name.
        machine: versions and hardware that change the last digits.
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        runner: StageRunner,
        *,
        teacher_keys: Mapping[str, str],
        machine: list[Any],
    ) -> None:
        self.recipe = recipe
        self.task = task
        self.runner = runner
        self.teacher_keys = teacher_keys
        self.machine = machine
        self._outputs: dict[nn.Module | str, OutputsAndLabels] = {}

    def of_model(self, name: str, model: nn.Module, inputs: Address) -> OutputsAndLabels:
        """The outputs of a model of this name in eval mode, with its inputs at this address."""

        def compute() -> OutputsAndLabels:
            read = partial(outputs_of, model.eval(), inputs=inputs, main=self.task.main_output)
            return self.task.outputs_and_labels(read, self.task.test)

        return self._compute_once(
            model, partial(self._stored, name, inputs, compute) if name in self.teacher_keys else compute
        )

    def of_file(self, file: Path, read: Read) -> OutputsAndLabels:
        """The outputs of a file; ``read`` maps a batch to outputs. Copies of a file share their outputs."""
        return self._compute_once(file_hash(file), lambda: self.task.outputs_and_labels(read, self.task.test))

    def _compute_once(self, source: nn.Module | str, compute: Callable[[], OutputsAndLabels]) -> OutputsAndLabels:
        if source not in self._outputs:
            self._outputs[source] = compute()
        return self._outputs[source]

    def _stored(self, name: str, inputs: Address, compute: Callable[[], OutputsAndLabels]) -> OutputsAndLabels:
        key = stage_key(
            stage="test_outputs",
            upstream=self.teacher_keys[name],
            model=self.recipe.models[name].weights_key,
            inputs=inputs,
            task=self.recipe.task,
            classes=list(self.task.names),
            test=self.task.key(TrainingRows(self.task.test)),
            machine=self.machine,
        )

        def write(beside: Path) -> None:
            outputs, labels = compute()
            arrays = {
                f"{part}.{name}": array
                for part, group in (("outputs", outputs), ("labels", labels))
                for name, array in group.items()
            }
            save_file(arrays, beside / "test_outputs.safetensors")

        folder = self.runner.get_or_create(key, "test_outputs", write, kind="evaluate", main_process_only=True)
        arrays = load_file(folder / "test_outputs.safetensors")
        outputs, labels = (
            {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
            for part in ("outputs.", "labels.")
        )
        return outputs, labels
