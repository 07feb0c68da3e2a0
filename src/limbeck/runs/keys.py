"""The keys of stages: equal where nothing that a stage reads has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.files import canonical_hash
from limbeck.tasks import Task, TrainingRows
from limbeck.training.settings import Settings

__all__ = ["data_key", "initial_key", "stage_key"]

# Raise it when the meaning of a stage changes, so that stages of older versions are not taken.
_format = 3

# How often something is written changes no weight.
_silent = ("log_every", "checkpoint_every", "keep_checkpoints", "precision", "finetune", "seed")


def stage_key(**parts: Any) -> str:
    """The hash of everything that a stage reads."""
    return canonical_hash({"format": _format, **parts})


def data_key(task: Task, training: TrainingRows, train: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage reads of the data: its rows, their changes, and the validation rows if they decide anything."""
    watches = Settings(**train).watches_validation
    watched = {"rows": task.validation.fingerprint(), "metric": task.judgement.main.name} if watches else None
    return {**task.key(training), "validation": watched}


def initial_key(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage reads of a model's section beside its training, and how the board reads it."""
    other = ("train", "objective", "taps", "inputs", "confidence")
    return {key: value for key, value in spec.items() if key not in other}


def settings_key(train: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage reads of its training section."""
    return {key: value for key, value in train.items() if key not in _silent}
