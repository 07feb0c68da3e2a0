"""Tries the metrics of a run on a few rows, before anything is trained or written."""

from __future__ import annotations

import torch
from torch import nn

from limbeck.core import Address, outputs_of
from limbeck.errors import LimbeckError, RecipeError
from limbeck.measure.metric_fit import check_fit
from limbeck.tasks import Task

__all__ = ["check_metrics"]

_rows = 4


def check_metrics(task: Task, model: nn.Module, inputs: Address) -> None:
    """Refuse metrics that cannot be computed from the outputs and labels of the task.

    Args:
        task: with the metrics that the recipe chooses.
        model: the student, before training.
        inputs: the address of its inputs.

    Raises:
        RecipeError: with the place in the recipe.
    """
    rows = task.validation if len(task.validation) else task.test
    batch = task.read(rows, torch.arange(min(_rows, len(rows))))
    mode = model.training
    outputs = outputs_of(model.eval(), batch, inputs, main=task.main_output)
    model.train(mode)
    measured, labels = task.measured(outputs, batch), task.labels(batch)
    usual = [metric.name for metric in task.scoring.metrics]
    # Those of a task that a plugin brings are as new as those that a recipe chooses.
    place = "measure.metrics" if task.metrics else "task"
    try:
        for metric in task.judgement.metrics:
            check_fit(metric, measured, labels, usual)
    except LimbeckError as error:
        raise RecipeError.at(place, str(error).removeprefix("metrics: "), code=error.code) from error
