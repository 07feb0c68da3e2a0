"""Exported files of a student, checked against its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.core import resolve
from limbeck.errors import RecipeError
from limbeck.export import Session, check_parity, quantize_int8
from limbeck.models import BagOfWords, Trees, sklearn_part
from limbeck.recipes.recipe import Recipe
from limbeck.runs.evaluated_models import EvaluatedModel
from limbeck.tasks import Task

__all__ = ["check_int8", "export_int8", "export_student"]


def export_student(
    evaluated: EvaluatedModel, file: Path, task: Task, *, recipe: str, tolerance: float
) -> dict[str, Any]:
    """Write the ONNX file and compare it with its model on all test rows.

    The file says whether its main output scores classes, and whether a row has one of them or any number.

    Raises:
        ExportError: if an output differs by more than the tolerance.
    """
    model = evaluated.models[0]
    task.export(model, file, {**task.file_metadata, "recipe": recipe})
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


def export_int8(source: Path, file: Path) -> dict[str, Any]:
    """Write the file with weights in 8 bits.

    Raises:
        ExportError: if it has nothing to compute in 8 bits.
    """
    quantize_int8(source, file)
    return {"bytes": file.stat().st_size}
