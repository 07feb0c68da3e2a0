"""The end of a run: test rows are read, models are measured, the student is exported."""

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

from limbeck.core import Address, at, called, map_tensors
from limbeck.errors import RecipeError
from limbeck.export import Session, check_parity, quantize_int8
from limbeck.measure import evaluate, flops, latency, parameters, throughput, verdict
from limbeck.recipes.answers import Answers
from limbeck.students import BagOfWords, Trees, fitted_part
from limbeck.tasks import Batch, Inputs, Task

__all__ = [
    "Contestant",
    "Exported",
    "check_int8",
    "cost_of_file",
    "cost_of_model",
    "export_int8",
    "export_student",
    "judge",
]

_batch = 64


@dataclass(frozen=True)
class Contestant:
    """A model of the run.

    Args:
        models: one instance for each seed.
        bytes: of its file.
        teaches: whether the student learns from it.
        inputs: the address that it reads.
    """

    models: Sequence[nn.Module]
    bytes: int | None
    teaches: bool = False
    inputs: Address = "batch.inputs"

    def calls(self, example: Batch) -> list[Callable[[], Any]]:
        """Calls of the first instance with one row, and with a batch of it."""
        model = self.models[0].eval()
        one = at({"batch": example}, self.inputs)

        def call(inputs: Inputs) -> None:
            with torch.inference_mode():
                called(model, inputs)

        return [partial(call, inputs) for inputs in (one, _repeated(one))]


@dataclass(frozen=True)
class Exported:
    """A file to ship, and the address that its model reads."""

    file: Path
    inputs: Address

    @cached_property
    def session(self) -> Session:
        return Session(self.file)

    def read(self, batch: Batch) -> Tensor:
        """The logits of a batch."""
        return torch.from_numpy(self.session(at({"batch": batch}, self.inputs)))

    def calls(self, example: Batch) -> list[Callable[[], Any]]:
        """Calls with one row, and with a batch of it."""
        one = at({"batch": example}, self.inputs)
        return [partial(self.session, inputs) for inputs in (one, _repeated(one))]


def judge(
    answers: Answers,
    contestants: Mapping[str, Contestant],
    exported: Mapping[str, Exported],
    *,
    subject: str = "student",
    draws: int,
) -> tuple[dict[str, Any], str]:
    """Metrics, intervals and comparisons of all models on the test rows, and the verdict.

    The student is compared with the control and with the first of the teachers; so is, before it, the ``subject``: the
    one of several students that is shipped. The verdict is about that one.
    """
    task = answers.task
    logits: dict[str, list[NDArray[np.float64]]] = {}
    target: NDArray[np.int64] = np.empty(0, np.int64)
    for name, contestant in contestants.items():
        for model in contestant.models:
            found, target = answers.of_model(name, model, contestant.inputs)
            logits.setdefault(name, []).append(found)
    for name, file in exported.items():
        logits[name] = [answers.of_file(file.file, file.read)[0]]
    teachers = [name for name, contestant in contestants.items() if contestant.teaches]
    others = [*(["control"] if "control" in logits else []), *teachers[:1]]
    evaluation = evaluate(
        logits,
        target,
        scoring=task.scoring,
        teacher=teachers[0] if teachers else None,
        comparisons=[(one, other) for one in dict.fromkeys((subject, "student")) for other in others],
        metrics=_telling(task),
        draws=draws,
    )
    main = task.scoring.metrics[0]
    sentence = "No control was trained, so this run cannot say whether distillation helped."
    if "control" in logits:
        called = "the student" if subject == "student" else f"the chosen student {subject}"
        sentence = verdict(evaluation.comparison(subject, "control", main), subject=called)
    return {"metric": main, "teachers": teachers, **evaluation.to_json()}, sentence


def _telling(task: Task) -> list[str]:
    """The metrics that can differ: among the five greatest of five classes is every one."""
    return [name for name in task.scoring.metrics if name != "top5_accuracy" or len(task.classes) > 5]


def cost_of_model(contestant: Contestant, example: Batch) -> dict[str, Any]:
    """Parameters, operations, bytes, latency and throughput of a PyTorch model in eval mode."""
    one, many = contestant.calls(example)
    return {**_size(contestant, example, contestant.bytes), **_times(one, many, torch.get_num_threads())}


def cost_of_file(exported: Exported, contestant: Contestant, example: Batch) -> dict[str, Any]:
    """The same of the exported file in onnxruntime; it computes what its model computes."""
    one, many = exported.calls(example)
    return {**_size(contestant, example, exported.file.stat().st_size), **_times(one, many, exported.session.threads)}


def _size(contestant: Contestant, example: Batch, stored: int | None) -> dict[str, Any]:
    model, inputs = contestant.models[0], at({"batch": example}, contestant.inputs)
    return {"parameters": parameters(model), "flops": flops(model, inputs), "bytes": stored}


def _repeated(inputs: Inputs) -> Inputs:
    repeated: Inputs = map_tensors(inputs, lambda one: one.expand(_batch, *one.shape[1:]).contiguous())
    return repeated


def _times(one: Any, many: Any, threads: int) -> dict[str, Any]:
    took = latency(one, threads=threads)
    return {
        "latency_ms": {"median": took.median_ms, "low": took.low_ms, "high": took.high_ms, "threads": took.threads},
        "throughput": {"rows_per_second": throughput(many, _batch), "batch": _batch},
    }


def export_student(contestant: Contestant, file: Path, task: Task, *, recipe: str, tolerance: float) -> dict[str, Any]:
    """Write the ONNX file and hold it to its model on all test rows.

    Raises:
        ExportError: if a logit differs by more than the tolerance.
    """
    model = contestant.models[0]
    task.export(model, file, {"recipe": recipe})
    batches = (at({"batch": batch}, contestant.inputs) for batch in task.evaluation(task.test))
    difference = check_parity(model, Session(file), batches, tolerance=tolerance)
    return {
        "bytes": file.stat().st_size,
        "max_difference": difference,
        "tolerance": tolerance,
        "rows": len(task.test),
    }


def check_int8(recipe: Mapping[str, Any], student: nn.Module) -> None:
    """Refuse 8 bits where nothing is multiplied, before any training.

    Raises:
        RecipeError: with the place in the recipe.
    """
    part = fitted_part(student)
    computes = student if part is None else part.model
    if isinstance(computes, Trees | BagOfWords) and "int8" in recipe["export"]["formats"]:
        raise RecipeError(
            f"export.formats: {type(computes).__name__} has no products to compute in 8 bits; write [onnx]"
        )


def export_int8(name: str, contestant: Contestant, source: Path, file: Path, answers: Answers) -> dict[str, Any]:
    """Write the file with weights in 8 bits, and how far its probabilities are from those of the model.

    Raises:
        ExportError: if it has nothing to compute in 8 bits.
    """
    quantize_int8(source, file)
    task, shipped = answers.task, Exported(file, contestant.inputs)
    logits = (answers.of_model(name, contestant.models[0], contestant.inputs), answers.of_file(file, shipped.read))
    ours, theirs = (task.scoring.probabilities(one) for one, _ in logits)
    return {
        "bytes": file.stat().st_size,
        "max_probability_difference": float(np.abs(ours - theirs).max()),
        "rows": len(task.test),
    }
