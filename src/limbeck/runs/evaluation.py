"""Evaluation of models and exported files on the test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.core import Address, call_model, map_rows, map_tensors, resolve
from limbeck.errors import RecipeError
from limbeck.export import Session, check_parity, quantize_int8
from limbeck.measure import ClassScoring, Scoring, evaluate, flops, latency, parameters, throughput, verdict
from limbeck.models import BagOfWords, Trees, sklearn_part
from limbeck.recipes.recipe import Recipe
from limbeck.runs.outputs import TestOutputs
from limbeck.tasks import Arrays, Batch, Inputs, Task

__all__ = [
    "EvaluatedModel",
    "Exported",
    "check_int8",
    "cost_of_file",
    "cost_of_model",
    "evaluate_models",
    "export_int8",
    "export_student",
]

_batch = 64


@dataclass(frozen=True)
class EvaluatedModel:
    """A model of the run that is evaluated.

    Args:
        models: one instance for each seed.
        bytes: size of its file.
        is_teacher: whether the student learns from it.
        inputs: the address of its inputs.
    """

    models: Sequence[nn.Module]
    bytes: int | None
    is_teacher: bool = False
    inputs: Address = "batch.inputs"

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


def evaluate_models(
    test_outputs: TestOutputs,
    evaluated: Mapping[str, EvaluatedModel],
    exported: Mapping[str, Exported],
    *,
    subject: str = "student",
    draws: int,
) -> tuple[dict[str, Any], str, Mapping[str, NDArray[Any]]]:
    """Metrics, intervals and comparisons of all models on the test rows, the verdict, and the statistics of rows.

    The student is compared with the control and with the first teacher. So is ``subject``, the student that is exported
    where there are several; its comparisons come first, and the verdict is about it.
    """
    task, scoring = test_outputs.task, test_outputs.task.judgement
    outputs: dict[str, list[Arrays]] = {}
    labels: Arrays = {}
    for name, entry in evaluated.items():
        for model in entry.models:
            arrays, labels = test_outputs.of_model(name, model, entry.inputs)
            outputs.setdefault(name, []).append(arrays)
    for name, file in exported.items():
        outputs[name] = [test_outputs.of_file(file.file, file.read)[0]]
    teachers = [name for name, entry in evaluated.items() if entry.is_teacher]
    others = [*(["control"] if "control" in outputs else []), *teachers[:1]]
    evaluation = evaluate(
        outputs,
        labels,
        scoring=scoring,
        reference=teachers[0] if teachers else None,
        comparisons=[(one, other) for one in dict.fromkeys((subject, "student")) for other in others],
        units=None if scoring.units is None else scoring.units(task.test),
        draws=draws,
    )
    main = scoring.main.name
    sentence = "No control was trained, so this run cannot say whether distillation helped."
    if "control" in outputs:
        called = "the student" if subject == "student" else f"the chosen student {subject}"
        sentence = verdict(evaluation.comparison(subject, "control", main), subject=called)
    return {"metric": main, "teachers": teachers, **evaluation.to_json()}, sentence, evaluation.statistics


def cost_of_model(evaluated: EvaluatedModel, example: Batch) -> dict[str, Any]:
    """Parameters, operations, bytes, latency and throughput of a PyTorch model in eval mode."""
    one, many = evaluated.calls(example)
    return {**_size(evaluated, example, evaluated.bytes), **_times(one, many, torch.get_num_threads())}


def cost_of_file(exported: Exported, evaluated: EvaluatedModel, example: Batch) -> dict[str, Any]:
    """The cost of the exported file in onnxruntime; it has as many parameters and operations as its model."""
    one, many = exported.calls(example)
    return {**_size(evaluated, example, exported.file.stat().st_size), **_times(one, many, exported.session.threads)}


def _size(evaluated: EvaluatedModel, example: Batch, stored: int | None) -> dict[str, Any]:
    model, inputs = evaluated.models[0], resolve({"batch": example}, evaluated.inputs)
    return {"parameters": parameters(model), "flops": flops(model, inputs), "bytes": stored}


def _repeated(inputs: Inputs) -> Inputs:
    repeated: Inputs = map_tensors(inputs, lambda one: one.expand(_batch, *one.shape[1:]).contiguous())
    return repeated


def _arrays(inputs: Inputs) -> Any:
    return map_rows(inputs, torch.Tensor.numpy)


def _times(one: Any, many: Any, threads: int) -> dict[str, Any]:
    took = latency(one, threads=threads)
    return {
        "latency_ms": {"median": took.median_ms, "low": took.low_ms, "high": took.high_ms, "threads": took.threads},
        "throughput": {"rows_per_second": throughput(many, _batch), "batch": _batch},
    }


def export_student(
    evaluated: EvaluatedModel, file: Path, task: Task, *, recipe: str, tolerance: float
) -> dict[str, Any]:
    """Write the ONNX file and compare it with its model on all test rows.

    Raises:
        ExportError: if an output differs by more than the tolerance.
    """
    model = evaluated.models[0]
    task.export(model, file, {"recipe": recipe})
    batches = (resolve({"batch": batch}, evaluated.inputs) for batch in task.evaluation(task.test))
    session = Session(file, torch.get_num_threads())
    difference = check_parity(model, session, batches, tolerance=tolerance, parity=task.delivery.parity)
    return {
        "bytes": file.stat().st_size,
        "max_difference": difference,
        "tolerance": tolerance,
        "rows": len(task.test),
    }


def check_int8(recipe: Recipe, student: nn.Module) -> None:
    """Reject INT8 for models without matrix products, before any training.

    Raises:
        RecipeError: with the place in the recipe.
    """
    part = sklearn_part(student)
    computes = student if part is None else part.model
    if isinstance(computes, Trees | BagOfWords) and "int8" in recipe.export.formats:
        raise RecipeError.at(
            "export.formats",
            f"{type(computes).__name__} has no products to compute in 8 bits; write [onnx]",
            code="no_effect",
        )


def export_int8(name: str, evaluated: EvaluatedModel, source: Path, file: Path, outputs: TestOutputs) -> dict[str, Any]:
    """Write the file with weights in 8 bits, and how far its probabilities are from those of the model.

    If a task has no probabilities, outputs are compared as they are.

    Raises:
        ExportError: if it has nothing to compute in 8 bits.
    """
    quantize_int8(source, file)
    task, shipped = outputs.task, Exported(file, evaluated.inputs)
    ours, _ = outputs.of_model(name, evaluated.models[0], evaluated.inputs)
    theirs, _ = outputs.of_file(file, shipped.read)
    return {
        "bytes": file.stat().st_size,
        **_differences(task.scoring, ours, theirs),
        "rows": len(task.test),
    }


def _differences(scoring: Scoring, ours: Arrays, theirs: Arrays) -> dict[str, float]:
    if isinstance(scoring, ClassScoring):
        probabilities = scoring.probabilities(ours), scoring.probabilities(theirs)
        return {"max_probability_difference": float(np.abs(probabilities[0] - probabilities[1]).max())}
    return {"max_difference": max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)}
