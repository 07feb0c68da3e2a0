"""The end of a run: test rows are read, models are measured, the student is exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.export import Session, check_parity, export_onnx
from limbeck.measure import evaluate, flops, latency, parameters, throughput, verdict
from limbeck.tasks import ImageClassification

__all__ = ["Contestant", "cost_of_file", "cost_of_model", "export_student", "judge"]

_batch = 64


@dataclass(frozen=True)
class Contestant:
    """A model of the run: one instance for each seed, the bytes of its file, and whether it teaches the student."""

    models: Sequence[nn.Module]
    bytes: int | None
    teaches: bool = False


def judge(
    task: ImageClassification, contestants: Mapping[str, Contestant], exported: Session | None, *, draws: int
) -> tuple[dict[str, Any], str]:
    """Metrics, intervals and comparisons of all models on the test rows, and the verdict.

    The student is compared with the control and with the first of the teachers.
    """
    logits: dict[str, list[NDArray[np.float64]]] = {}
    target: NDArray[np.int64] = np.empty(0, np.int64)
    for name, contestant in contestants.items():
        for model in contestant.models:
            found, target = task.logits(model.eval(), task.test)
            logits.setdefault(name, []).append(found)
    if exported is not None:
        rows = [exported(batch["inputs"]) for batch in task.evaluation(task.test)]
        logits["exported"] = [np.concatenate(rows).astype(np.float64)]
    teachers = [name for name, contestant in contestants.items() if contestant.teaches]
    others = [*(["control"] if "control" in logits else []), *teachers[:1]]
    evaluation = evaluate(
        logits,
        target,
        teacher=teachers[0] if teachers else None,
        comparisons=[("student", other) for other in others],
        draws=draws,
    )
    sentence = "No control was trained, so this run cannot say whether distillation helped."
    if "control" in logits:
        sentence = verdict(evaluation.comparison("student", "control", "accuracy"))
    return {"teachers": teachers, **evaluation.to_json()}, sentence


def cost_of_model(contestant: Contestant, example: Tensor) -> dict[str, Any]:
    """Parameters, operations, bytes, latency and throughput of a PyTorch model in eval mode."""
    model = contestant.models[0].eval()
    batch = example.expand(_batch, *example.shape[1:]).contiguous()

    @torch.inference_mode()
    def one() -> None:
        model(example)

    @torch.inference_mode()
    def many() -> None:
        model(batch)

    own = {"parameters": parameters(model), "flops": flops(model, example), "bytes": contestant.bytes}
    return {**own, **_times(one, many, torch.get_num_threads())}


def cost_of_file(session: Session, file: Path, model: nn.Module, example: Tensor) -> dict[str, Any]:
    """The same of the exported file in onnxruntime; it computes what its model computes."""
    batch = example.expand(_batch, *example.shape[1:]).contiguous().numpy()
    image = example.numpy()
    own = {"parameters": parameters(model), "flops": flops(model, example), "bytes": file.stat().st_size}
    return {**own, **_times(lambda: session(image), lambda: session(batch), session.threads)}


def _times(one: Any, many: Any, threads: int) -> dict[str, Any]:
    took = latency(one, threads=threads)
    return {
        "latency_ms": {"median": took.median_ms, "low": took.low_ms, "high": took.high_ms, "threads": took.threads},
        "throughput": {"rows_per_second": throughput(many, _batch), "batch": _batch},
    }


def export_student(
    model: nn.Module, file: Path, task: ImageClassification, *, recipe: str, tolerance: float
) -> dict[str, Any]:
    """Write the ONNX file and hold it to its model on all test images.

    Raises:
        ExportError: if a logit differs by more than the tolerance.
    """
    metadata = {"recipe": recipe, "task": "image_classification", "input_range": "0..1"}
    export_onnx(model, file, example=task.example, classes=task.classes, metadata=metadata)
    images = torch.cat([batch["inputs"] for batch in task.evaluation(task.test)])
    difference = check_parity(model, Session(file), images, tolerance=tolerance)
    return {
        "bytes": file.stat().st_size,
        "max_difference": difference,
        "tolerance": tolerance,
        "rows": len(images),
    }
