"""The keys of stages: equal where nothing that a stage reads has changed."""

from __future__ import annotations

from typing import Any

from limbeck.files import canonical_hash
from limbeck.tasks import Task, TrainingRows
from limbeck.training.settings import Settings

__all__ = ["STAGE_FORMAT", "data_key", "stage_key"]

STAGE_FORMAT = 4
"""Raised when the meaning of a stage changes, so that stages of older versions are not taken."""


def stage_key(**parts: Any) -> str:
    """The hash of everything that a stage reads."""
    return canonical_hash({"format": STAGE_FORMAT, **parts})


def data_key(task: Task, training: TrainingRows, train: Settings) -> dict[str, Any]:
    """What a stage reads of the data: its rows, their changes, and the validation rows if they decide anything."""
    watched = {"rows": task.validation.fingerprint(), "metric": task.judgement.main.name}
    return {**task.key(training), "validation": watched if train.watches_validation else None}
