"""Runs of a second that hold everything a resumed run could lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_OBJECTIVE = {
    "hard": {"loss": "cross_entropy", "weight": 0.5, "where": "batch.labelled"},
    "soft": {"loss": {"use": "kl_divergence", "temperature": 2.0}, "weight": 0.5},
}
_COMMON = {"precision": "float32", "checkpoint_every": 0, "log_every": 2}


def _recipe(name: str, data: Any, teacher: Any, student: Any, train: Any, **rest: Any) -> dict[str, Any]:
    own = {"epochs": 2, "batch_size": 256, **_COMMON, **teacher.pop("train", {})}
    return {
        "schema": 1,
        "name": name,
        "task": "image_classification",
        "data": {"use": "digits", "limit": 200, "augment": {"crop": 1}, **data},
        "models": {"teacher": {**teacher, "train": own}, "student": student},
        "objective": _OBJECTIVE,
        "train": {"epochs": 2, "batch_size": 32, **_COMMON, **train},
        "measure": {"draws": 100, "seconds": 0.01},
        "export": {"formats": []},
        **rest,
    }


def dropout() -> dict[str, Any]:
    """Dropout, few labels, the best epoch's weights, AdamW, two seeds."""
    mlp = {"use": "mlp", "width": 12, "dropout": 0.3}
    return _recipe("dropout", {"labels": 40}, {**mlp, "width": 16}, mlp, {"select": "best"}, seeds=2)


def batch_norm() -> dict[str, Any]:
    """Batch statistics, momentum, micro-batches, clipping, early stopping, a last stage on hard labels."""
    momentum = {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}, "learning_rate": 0.05}
    train = {**momentum, "accumulate": 2, "clip": 1.0, "patience": 3, "finetune": {"epochs": 1, "learning_rate": 0.01}}
    teacher = {"use": "resnet", "width": 4, "train": {"epochs": 1, **momentum}}
    data = {"augment": {"crop": 1, "flip": True, "erase": 0.2}}
    return _recipe("batch_norm", data, teacher, {"use": "resnet", "width": 2}, {**train, "keep_checkpoints": 1})


def cached() -> dict[str, Any]:
    """A teacher that is read from a cache: two augmentations of each row, in micro-batches."""
    return {**batch_norm(), "name": "cached", "cache": {"views": 2, "codec": "float16"}}


def noisy() -> dict[str, Any]:
    """A model that draws from Python's, NumPy's and torch's generators, a loss with weights of its own, a schedule."""
    taps = {"taps": {"hidden": "hidden"}}
    recipe = _recipe(
        "noisy",
        {"labels": 40},
        {"use": "noisy", **taps},
        {"use": "noisy", "width": 8, **taps},
        {"schedule": "one_cycle", "optimizer": "adam"},
    )
    hint = {"use": "hint_mse", "student_features": 8, "teacher_features": 12}
    weight = {"use": "linear", "start": 1.0, "end": 0.0, "steps": 6}
    inputs = {"student": "student.hidden", "teacher": "teacher.hidden"}
    return {**recipe, "objective": {**_OBJECTIVE, "hint": {"loss": hint, "inputs": inputs, "weight": weight}}}


def together() -> dict[str, Any]:
    """A peer with an optimizer of its own, the student's average, one of two teachers at random, learned weights."""
    mlp = {"use": "mlp", "width": 12, "dropout": 0.3}
    recipe = _recipe("together", {"labels": 40}, {**mlp, "width": 16}, mlp, {"select": "best"})
    own = {"together": True, "optimizer": "sgd", "optimizer_options": {"momentum": 0.9}, "learning_rate": 0.05}
    models = {
        **recipe["models"],
        "peer": {**mlp, "train": own},
        "average": {"ema": "student", "decay": 0.9},
        "drawn": {"random": ["teacher", "average"]},
        "both": {"ensemble": ["teacher", "average"], "weights": "learned"},
    }
    hard = {"loss": "cross_entropy", "where": "batch.labelled"}
    objective = {
        "hard": {**hard, "each": ["student", "peer"]},
        "dml": {"mutual": ["student", "peer"]},
        "soft": {"loss": "kl_divergence", "inputs": {"teacher": "drawn.logits"}},
        "weigh": {**hard, "inputs": {"student": "both.logits"}},
    }
    return {**recipe, "models": models, "objective": objective}


PLUGIN = str(Path(__file__).with_name("noisy.py"))
