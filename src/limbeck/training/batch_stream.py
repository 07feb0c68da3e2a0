"""The batches of a training in order, also where they are written by the student itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from limbeck.core import Distiller, call_model, preserve_state
from limbeck.tasks import Batch, BatchSource, OnPolicySource

__all__ = ["StudentHandle", "batch_stream"]


class StudentHandle:
    """The student as it is at a step: in eval mode, without gradients; its buffers and the random state are preserved.

    Args:
        distiller: that holds the student.
        step: the number of the step to come.
    """

    def __init__(self, distiller: Distiller, step: int) -> None:
        self.step = step
        self._distiller = distiller

    @property
    def device(self) -> torch.device:
        """Where the student computes."""
        return self._distiller.step.device

    def __call__(self, inputs: Tensor | Mapping[str, Tensor]) -> Mapping[str, Any]:
        """The outputs of the student for these inputs, by name; a single tensor has the name of its output."""
        student = self._distiller.students["student"]
        with preserve_state(student.model), torch.no_grad():
            outputs = call_model(student.model, inputs)
        return outputs if isinstance(outputs, Mapping) else {student.output: outputs}

    def generate(self, inputs: Tensor | Mapping[str, Tensor], *, seed: int, **options: Any) -> Tensor:
        """What the student's ``generate`` writes, drawn with this seed.

        Args:
            inputs: what is continued.
            seed: of all random draws; a function of the step and the row, so that a resumed training draws the same.
            options: of the model's ``generate``.
        """
        model: Any = self._distiller.students["student"].model
        named = inputs if isinstance(inputs, Mapping) else {"inputs": inputs}
        with preserve_state(model), torch.no_grad():
            torch.manual_seed(seed)
            written: Tensor = model.generate(**named, **options)
        return written


def batch_stream(
    source: BatchSource | OnPolicySource, start_step: int, stop_step: int, distiller: Distiller
) -> Iterator[Batch]:
    """The batches of the steps from ``start_step`` up to ``stop_step``.

    Where the source reads the student, each batch is made when its step begins, never ahead.
    """
    if source.reads_student:
        on_policy = cast(OnPolicySource, source)
        yield from (on_policy.batch(step, StudentHandle(distiller, step)) for step in range(start_step, stop_step))
    else:
        yield from cast(BatchSource, source).iterate(start_step, stop_step)
