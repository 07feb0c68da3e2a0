"""What the file that a run ships says of new inputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck import registry
from limbeck.errors import ArgumentError, RunError, suggest
from limbeck.export import Session
from limbeck.tasks import Prediction, Task

__all__ = ["predict", "predictions"]

_never_in_8_bits = "; of trees and a bag of words there is none in 8 bits"


def predict(
    run: str | Path, inputs: Sequence[str], *, pairs: Sequence[str] = (), int8: bool = False
) -> list[dict[str, Any]]:
    """What `predictions` finds, in plain types: of one class, ``class`` and the ``probabilities`` of all classes."""
    return [one.found for one in predictions(run, inputs, pairs=pairs, int8=int8)]


def predictions(
    run: str | Path, inputs: Sequence[str], *, pairs: Sequence[str] = (), int8: bool = False
) -> list[Prediction]:
    """What the exported file alone says of inputs, one after the other.

    Args:
        run: the folder of a finished run.
        inputs: texts; or for a model of images, the paths of files, whose images are brought to its size.
        pairs: for a model of pairs of texts, the second one of each.
        int8: take the file with weights in 8 bits.

    Raises:
        RunError: if the run has no such file.
        ArgumentError: if an input cannot be read.
    """
    if not inputs:
        raise ArgumentError("predict: there is no input; give at least one")
    folder = Path(run)
    results = _results(folder)
    task: type[Task] = registry.lookup("task", results["task"])
    if not task.formats:
        raise RunError(
            f"{folder} ships no file to predict by: its task exports nothing; its student goes on in another recipe, "
            f"from {folder / 'models' / 'student'}"
        )
    session = Session(folder / _file(folder, results, int8))
    return task.predictions(inputs, pairs, folder / "export", session)


def _results(folder: Path) -> dict[str, Any]:
    file = folder / "results.json"
    if not file.is_file():
        missing = f"no {file.name} in it" if folder.is_dir() else "no such folder"
        raise RunError(f"{folder} is no finished run: there is {missing}")
    try:
        results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if results["task"] not in registry.names("task"):
            raise RunError(f"{folder}: no task {results['task']!r}.{suggest(results['task'], registry.names('task'))}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder} is no finished run ({type(error).__name__}: {error})") from error
    return results


def _file(folder: Path, results: dict[str, Any], int8: bool) -> str:
    made = results["export"]
    if made is None or (int8 and "int8" not in made):
        formats, unless = ("[onnx, int8]", _never_in_8_bits) if int8 else ("[onnx]", "")
        raise RunError(f"{folder} has no such file; run its recipe with export: {{formats: {formats}}}{unless}")
    file: str = (made["int8"] if int8 else made)["file"]
    return file
