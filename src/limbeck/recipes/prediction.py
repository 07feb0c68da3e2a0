"""What the file that a run ships says of new inputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limbeck import registry
from limbeck.errors import ArgumentError, RunError, suggest
from limbeck.export import Session
from limbeck.measure.metrics import log_softmax
from limbeck.tasks import Task

__all__ = ["predict"]


def predict(
    run: str | Path, inputs: Sequence[str], *, pairs: Sequence[str] = (), int8: bool = False
) -> list[dict[str, Any]]:
    """Classes and probabilities of inputs, by the exported file alone.

    Args:
        run: the folder of a finished run.
        inputs: texts; or for a model of images, the paths of files, whose images are brought to its size.
        pairs: for a model of pairs of texts, the second one of each.
        int8: take the file with weights in 8 bits.

    Returns:
        For each input its ``class`` and the ``probabilities`` of all classes.

    Raises:
        RunError: if the run has no such file.
        ArgumentError: if an input cannot be read.
    """
    if not inputs:
        raise ArgumentError("predict: there is no input; give at least one")
    folder = Path(run)
    results = _results(folder)
    task: type[Task] = registry.lookup("task", results["task"])
    session = Session(folder / _file(folder, results, int8))
    rows = task.new_rows(inputs, pairs, folder / "export", session)
    probabilities = np.exp(log_softmax(session(rows).astype(np.float64)))
    classes = session.classes
    return [
        {"class": classes[int(row.argmax())], "probabilities": dict(zip(classes, row.tolist(), strict=True))}
        for row in probabilities
    ]


def _results(folder: Path) -> dict[str, Any]:
    try:
        results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        if results["task"] not in registry.names("task"):
            raise RunError(f"{folder}: no task {results['task']!r}.{suggest(results['task'], registry.names('task'))}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder} is no finished run ({type(error).__name__}: {error})") from error
    return results


def _file(folder: Path, results: dict[str, Any], int8: bool) -> str:
    made = results["export"]
    if made is None or (int8 and "int8" not in made):
        formats = "[onnx, int8]" if int8 else "[onnx]"
        raise RunError(f"{folder} has no such file; run its recipe with export: {{formats: {formats}}}")
    file: str = (made["int8"] if int8 else made)["file"]
    return file
