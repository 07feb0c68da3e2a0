"""A run folder with seeded, plausible content."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLASSES = 10
ROWS = 360
RECIPE = """\
schema: 1
task: image_classification
data: {use: digits, validation: 0.15, labels: 100}
models:
  teacher: {use: resnet, width: 32, depth: 2, train: {epochs: 20, learning_rate: 0.002}}
  student: {use: resnet, width: 8, depth: 1}
objective:
  hard: {loss: cross_entropy, weight: 0.5, where: batch.labelled}
  soft: {loss: {use: kl_divergence, temperature: 2.0}, weight: 0.5}
train: {epochs: 30, batch_size: 64, learning_rate: 0.002, seed: 0}
seeds: 3
control: true
export: {formats: [onnx]}
"""


def estimate(value: float, width: float) -> dict[str, float]:
    return {"value": value, "low": value - width, "high": min(1.0, value + width)}


def model(
    accuracy: float, parameters: int, latency: float, seeds: list[int], rng: np.random.Generator
) -> dict[str, Any]:
    target = rng.integers(CLASSES, size=ROWS)
    right = rng.random(ROWS) < accuracy
    predicted = np.where(right, target, (target + rng.integers(1, CLASSES, size=ROWS)) % CLASSES)
    confusion = np.zeros((CLASSES, CLASSES), dtype=int)
    np.add.at(confusion, (target, predicted), 1)
    confidence = np.clip(np.where(right, rng.beta(12, 1, ROWS), rng.beta(3, 2, ROWS)), 0.1, 1)
    metrics = {
        "accuracy": estimate(accuracy, 0.012),
        "top5_accuracy": estimate(min(0.999, accuracy + 0.02), 0.001),
        "macro_f1": estimate(accuracy - 0.002, 0.013),
        "negative_log_likelihood": estimate(0.06 + 2 * (1 - accuracy), 0.02),
        "brier_score": estimate(0.02 + (1 - accuracy), 0.01),
        "expected_calibration_error": estimate(0.01 + (1 - accuracy) / 3, 0.006),
    }
    return {
        "metrics": metrics,
        "scope": "rows+seeds" if len(seeds) > 1 else "rows",
        "cost": {
            "parameters": parameters,
            "flops": parameters * 60,
            "bytes": parameters * 4 + 5000,
            "latency_ms": {"median": latency, "low": latency * 0.96, "high": latency * 1.09, "threads": 2},
            "throughput": {"rows_per_second": 4000 / latency, "batch": 64},
        },
        "seeds": [{"seed": s, "metrics": {k: v["value"] + 0.004 * (s - 1) for k, v in metrics.items()}} for s in seeds],
        "reliability": reliability(confidence, right),
        "confusion": confusion.tolist(),
    }


def reliability(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    edges = np.linspace(0, 1, 16)
    bins = []
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        known = bool(inside.any())
        bins.append(
            {
                "low": float(low),
                "high": float(high),
                "count": int(inside.sum()),
                "confidence": float(confidence[inside].mean()) if known else None,
                "accuracy": float(right[inside].mean()) if known else None,
            }
        )
    return bins


def share(title: str, **others: Any) -> dict[str, Any]:
    return {"title": title, "unit": "", "higher_is_better": True, "is_share": True, "bounds": [0.0, 1.0], **others}


def error(title: str, **others: Any) -> dict[str, Any]:
    return {"title": title, "unit": "", "higher_is_better": False, "is_share": False, "bounds": [0.0, None], **others}


METRICS = {
    "accuracy": share("accuracy"),
    "top5_accuracy": share("top-5 accuracy"),
    "macro_f1": share("macro-F1", hub={"type": "f1", "args": {"average": "macro"}}),
    "negative_log_likelihood": error("negative log-likelihood", unit="nats"),
    "brier_score": error("Brier score"),
    "expected_calibration_error": error("calibration error", column="ECE"),
    "teacher_agreement": share("agreement with the teacher", needs_reference=True),
    "teacher_kl": error("KL divergence to the teacher", unit="nats", needs_reference=True),
}

SNIPPET = """\
import json
from pathlib import Path

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("export/student.onnx")
classes = json.loads(Path("results.json").read_text(encoding="utf-8"))["classes"]
(logits,) = session.run(["logits"], {"image": np.zeros((1, 1, 8, 8), dtype=np.float32)})
print([classes[index] for index in logits.argmax(axis=1)])
"""

TASK = {
    "input": "8×8 pixels, 1 channel",
    "output": "10 classes",
    "row": "image",
    "label": "class",
    "snippet": SNIPPET,
    "command": "limbeck predict . image.png",
    "limits": ["The model assigns one of its classes to every image."],
    "pipeline_tag": "image-classification",
}


def make_results() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    seeds = [0, 1, 2]
    models = {
        "teacher": model(0.987, 697_802, 2.31, [0], rng),
        "control": model(0.914, 19_842, 0.412, seeds, rng),
        "student": model(0.984, 19_842, 0.415, seeds, rng),
        "exported": model(0.985, 19_842, 0.094, [0], rng),
    }
    for name in ("control", "student", "exported"):
        models[name]["metrics"]["teacher_agreement"] = estimate(models[name]["metrics"]["accuracy"]["value"], 0.01)
        models[name]["metrics"]["teacher_kl"] = estimate(0.08, 0.02)
    return {
        "schema": 1,
        "recipe": "digits",
        "task": "image_classification",
        "classes": [str(index) for index in range(CLASSES)],
        "task_description": TASK,
        "test_rows": ROWS,
        "seeds": seeds,
        "metric": "accuracy",
        "metrics": METRICS,
        "label_budget": {"training": 100, "validation": 0, "unlabelled": 1157},
        "models": models,
        "comparisons": [
            compare("control", "accuracy", 0.07, 0.05, 0.09),
            compare("teacher", "accuracy", -0.003, -0.014, 0.008),
        ],
        "export": {
            "file": "export/student.onnx",
            "bytes": 90_000,
            "max_difference": 1.2e-6,
            "tolerance": 1e-4,
            "rows": 360,
        },
        "verdict": "Distillation helps: the student beats its control by 7.0 points [5.0, 9.0] over rows and seeds.",
    }


def compare(other: str, metric: str, difference: float, low: float, high: float) -> dict[str, Any]:
    ends = {"difference": difference, "low": low, "high": high}
    return {"a": "student", "b": other, "metric": metric, **ends, "scope": "rows+seeds"}


def make_events() -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    events: list[dict[str, Any]] = []
    for stage, seeds, epochs, ceiling in (
        ("teacher", [0], 20, 0.99),
        ("control", [0, 1, 2], 30, 0.91),
        ("student", [0, 1, 2], 30, 0.98),
    ):
        for seed in seeds:
            for step in range(10, epochs * 20 + 1, 10):
                share = step / (epochs * 20)
                loss = float(2.3 * np.exp(-5 * share) * rng.lognormal(0, 0.25) + 0.005)
                event = {"stage": stage, "seed": seed, "step": step, "epoch": step // 20, "seconds": step / 100}
                events.append({**event, "loss": loss, "terms": {"hard": loss}})
                if step % 20 == 0:
                    accuracy = ceiling - 0.6 * float(np.exp(-7 * share)) + float(rng.normal(0, 0.006))
                    events.append({**event, "validation": {"accuracy": accuracy}})
    return events


ENVIRONMENT = {
    "limbeck": "0.1.0",
    "python": "3.11.9",
    "versions": {"torch": "2.15.0", "onnxruntime": "1.22.0"},
    "device": "cpu",
    "threads": 2,
    "git": None,
    "seeds": [0, 1, 2],
}


def write_run(
    folder: Path,
    results: dict[str, Any],
    events: list[dict[str, Any]],
    recipe: str = RECIPE,
    environment: dict[str, Any] = ENVIRONMENT,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    return folder


@pytest.fixture
def write() -> Callable[..., Path]:
    return write_run


@pytest.fixture
def results() -> dict[str, Any]:
    return make_results()


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return make_events()


@pytest.fixture
def run(tmp_path: Path, results: dict[str, Any], events: list[dict[str, Any]]) -> Path:
    return write_run(tmp_path / "run", results, events)
