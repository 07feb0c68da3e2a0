"""Models and exported files that a run evaluates, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core import Address, call_model, map_rows, map_tensors, resolve
from limbeck.export import Session
from limbeck.measure import flops, latency, parameters, throughput
from limbeck.models import EstimatorModel
from limbeck.tasks import Batch, Inputs

__all__ = ["EvaluatedModel", "Exported", "cost_of_file", "cost_of_model"]

_batch = 64


@dataclass(frozen=True)
class EvaluatedModel:
    """A model of the run that is evaluated.

    Args:
        models: one instance for each seed.
        bytes: size of its file.
        is_teacher: whether the student learns from it.
        inputs: the address of its inputs.
        is_baseline: whether the student is compared with it beside its control.
    """

    models: Sequence[nn.Module]
    bytes: int | None
    is_teacher: bool = False
    inputs: Address = "batch.inputs"
    is_baseline: bool = False

    def calls(self, example: Batch) -> list[Callable[[], Any]]:
        """Calls of the first instance with one row, and with a batch of it."""
        model = self.models[0].eval()
        one = resolve({"batch": example}, self.inputs)

        def call(inputs: Inputs) -> None:
            with torch.inference_mode():
                call_model(model, inputs)

        return [partial(call, inputs) for inputs in (one, _repeated(one))]


@dataclass(frozen=True)
class Exported:
    """A file to ship, and the address that its model reads."""

    file: Path
    inputs: Address

    @cached_property
    def session(self) -> Session:
        return Session(self.file, torch.get_num_threads())

    def read(self, batch: Batch) -> dict[str, Tensor]:
        """The outputs for a batch, by name."""
        outputs = self.session(_arrays(resolve({"batch": batch}, self.inputs)))
        return {name: torch.from_numpy(values) for name, values in outputs.items()}

    def calls(self, example: Batch) -> list[Callable[[], Any]]:
        """Calls with one row, and with a batch of it."""
        one = resolve({"batch": example}, self.inputs)
        return [partial(self.session, _arrays(inputs)) for inputs in (one, _repeated(one))]


def cost_of_model(evaluated: EvaluatedModel, example: Batch, seconds: float) -> dict[str, Any]:
    """Parameters, operations, bytes, and in about `seconds` each, latency and throughput of a model in eval mode."""
    one, many = evaluated.calls(example)
    return {**_size(evaluated, example, evaluated.bytes), **_times(one, many, torch.get_num_threads(), seconds)}


def cost_of_file(exported: Exported, evaluated: EvaluatedModel, example: Batch, seconds: float) -> dict[str, Any]:
    """The cost of the exported file in onnxruntime; it has as many parameters and operations as its model."""
    one, many = exported.calls(example)
    size = _size(evaluated, example, exported.file.stat().st_size)
    return {**size, **_times(one, many, exported.session.threads, seconds)}


def _size(evaluated: EvaluatedModel, example: Batch, stored: int | None) -> dict[str, Any]:
    model, inputs = evaluated.models[0], resolve({"batch": example}, evaluated.inputs)
    if any(isinstance(module, EstimatorModel) for module in model.modules()):
        # An estimator says nothing of its size.
        return {"parameters": None, "flops": None, "bytes": None}
    return {"parameters": parameters(model), "flops": flops(model, inputs), "bytes": stored}


def _repeated(inputs: Inputs) -> Inputs:
    repeated: Inputs = map_tensors(inputs, lambda one: one.expand(_batch, *one.shape[1:]).contiguous())
    return repeated


def _arrays(inputs: Inputs) -> Any:
    return map_rows(inputs, torch.Tensor.numpy)


def _times(one: Any, many: Any, threads: int, seconds: float) -> dict[str, Any]:
    took = latency(one, threads=threads, seconds=seconds)
    return {
        "latency_ms": {"median": took.median_ms, "low": took.low_ms, "high": took.high_ms, "threads": took.threads},
        "throughput": {"rows_per_second": throughput(many, _batch, seconds=seconds), "batch": _batch},
    }
