"""Outputs of models and exported files on the test rows, read batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from safetensors.numpy import load_file, save_file
from torch import nn

from limbeck.core import Address, outputs_of
from limbeck.files import file_hash
from limbeck.recipes.recipe import Recipe
from limbeck.runs.evaluated_models import Exported
from limbeck.runs.keys import stage_key
from limbeck.runs.stages import StageRunner
from limbeck.tasks import Arrays, Batch, Task, TrainingRows

__all__ = ["Reader", "TestOutputs"]

Reader: TypeAlias = Callable[[int, Batch], Arrays]
"""Gives the outputs of a model for a batch of test rows, which is the n-th; as the scoring of the task reads them."""


class TestOutputs:
    """Reads the outputs of models and exported files on the test rows. None is held but that of the last batch.

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
        teacher_keys: dict[str, str],
        machine: list[Any],
    ) -> None:
        self.recipe = recipe
        self.task = task
        self.runner = runner
        self.teacher_keys = teacher_keys
        self.machine = machine
        self._readers: dict[nn.Module | str, Reader] = {}

    def of_model(self, name: str, model: nn.Module, inputs: Address) -> Reader:
        """The outputs of a model of this name in eval mode, with its inputs at this address."""
        if model not in self._readers:

            def compute(number: int, batch: Batch) -> Arrays:
                return self.task.measured(outputs_of(model.eval(), batch, inputs, main=self.task.main_output), batch)

            stored = name in self.teacher_keys
            self._readers[model] = self._stored(name, inputs, compute) if stored else _once_a_batch(compute)
        return self._readers[model]

    def of_file(self, exported: Exported) -> Reader:
        """The outputs of an exported file. Copies of a file share their outputs."""
        content = file_hash(exported.file)
        if content not in self._readers:
            self._readers[content] = _once_a_batch(
                lambda number, batch: self.task.measured(exported.read(batch), batch)
            )
        return self._readers[content]

    def _stored(self, name: str, inputs: Address, compute: Reader) -> Reader:
        """The outputs of a trained teacher, from the stage that keeps them; computed first where there is none."""
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
            for number, batch in enumerate(self.task.evaluation(self.task.test)):
                save_file(compute(number, batch), _file(beside, number))

        folder = self.runner.get_or_create(key, "test_outputs", write, kind="evaluate", main_process_only=True)
        return lambda number, batch: load_file(_file(folder, number))


def _file(folder: Path, number: int) -> Path:
    return folder / f"batch-{number:06}.safetensors"


def _once_a_batch(read: Reader) -> Reader:
    """The same; a model or file that stands under two names computes each batch once."""
    last: list[tuple[int, Arrays]] = []

    def read_once(number: int, batch: Batch) -> Arrays:
        if not last or last[0][0] != number:
            last[:] = [(number, read(number, batch))]
        return last[0][1]

    return read_once
