"""Predictions with the file that a run ships. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck.errors import ArgumentError, RunError
from limbeck.export import Prediction, Session
from limbeck.export.predictors.resolve import resolve_predictor

__all__ = ["predict", "predictions"]

_never_in_8_bits = "; of trees and a bag of words there is none in 8 bits"


def predict(
    run: str | Path, inputs: Sequence[str], *, pairs: Sequence[str] = (), int8: bool = False
) -> list[dict[str, Any]]:
    """The predictions of `predictions` in plain types: for one class, ``class`` and the ``probabilities`` of all."""
    return [one.found for one in predictions(run, inputs, pairs=pairs, int8=int8)]


def predictions(
    run: str | Path, inputs: Sequence[str], *, pairs: Sequence[str] = (), int8: bool = False
) -> list[Prediction]:
    """The predictions of the exported file for new inputs, in order.

    The predictor that the task named when it ran turns inputs into arrays and outputs into predictions; its module is
    imported, or the plugin of the run is loaded.

    Args:
        run: the folder of a finished run.
        inputs: in the form that the predictor takes: texts, paths of images, rows of numbers.
        pairs: for a model of pairs of texts, the second text of each.
        int8: use the file with weights in 8 bits.

    Raises:
        RunError: if the run has no such file, or its predictor is not found.
        ArgumentError: if an input cannot be read.
    """
    if not inputs:
        raise ArgumentError("predict: there is no input; give at least one", code="missing", path="inputs")
    folder = Path(run)
    results = _results(folder)
    predictor = results["delivery"]["predictor"]
    if predictor is None:
        raise RunError(
            f"{folder} ships no file to predict by: its task exports nothing; its student goes on in another recipe, "
            f"from {folder / 'models' / 'student'}",
            code="unsupported",
            path=folder,
        )
    session = Session(folder / _file(folder, results, int8))
    return resolve_predictor(predictor, _plugin(folder))(inputs, pairs, folder / "export", session)


def _results(folder: Path) -> dict[str, Any]:
    file = folder / "results.json"
    if not file.is_file():
        missing = f"no {file.name} in it" if folder.is_dir() else "no such folder"
        raise RunError(
            f"{folder} is no finished run: there is {missing}",
            code="not_ready" if folder.is_dir() else "not_found",
            path=folder,
        )
    try:
        results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if results["task"] and "delivery" not in results:
            raise RunError(
                f"{folder} is a run of another version, which names no predictor; run its recipe again",
                code="changed",
                path=folder,
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder} is no finished run ({type(error).__name__}: {error})", code="unreadable", path=folder
        ) from error
    return results


def _plugin(folder: Path) -> Path | None:
    """The plugin that the run was made with."""
    try:
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(
            f"{folder / 'environment.json'} is no JSON ({error}); run the recipe again",
            code="unreadable",
            path=folder / "environment.json",
        ) from error
    plugin = environment.get("plugin")
    return None if plugin is None else Path(plugin)


def _file(folder: Path, results: dict[str, Any], int8: bool) -> str:
    made = results["export"]
    if made is None or (int8 and "int8" not in made):
        formats, unless = ("[onnx, int8]", _never_in_8_bits) if int8 else ("[onnx]", "")
        raise RunError(
            f"{folder} has no such file; run its recipe with export: {{formats: {formats}}}{unless}",
            code="not_found",
            path=folder,
        )
    file: str = (made["int8"] if int8 else made)["file"]
    return file
