"""A run folder's files, read with checks and written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from limbeck.errors import RunError
from limbeck.files import atomic
from limbeck.recipes.read import parsed
from limbeck.report.results import Results, parse_results

__all__ = ["Run", "read_results", "read_run", "write_text"]


@dataclass(frozen=True)
class Run:
    """All that the report is made of."""

    results: Results
    events: list[dict[str, Any]]
    recipe_text: str
    recipe: dict[str, Any]
    environment: dict[str, Any]


def read_run(run: Path) -> Run:
    """Read results.json, events.jsonl, recipe.yaml and environment.json of a run folder.

    Raises:
        RunError: if one of them is missing, unreadable or not what its name says; the message names it.
    """
    recipe_text = _text(run / "recipe.yaml")
    return Run(
        results=read_results(run),
        events=_events(run / "events.jsonl"),
        recipe_text=recipe_text,
        recipe=_recipe(run / "recipe.yaml", recipe_text),
        environment=_mapping(run / "environment.json"),
    )


def read_results(run: Path) -> Results:
    """The checked results.json of a run folder."""
    return parse_results(_mapping(run / "results.json"))


def write_text(path: Path, text: str) -> Path:
    """Write a file beside its place, then move it there, so that no reader sees half of it.

    Raises:
        RunError: if the file cannot be written; what stood there before is untouched.
    """
    try:
        with atomic(path) as beside:
            # Names that come from files can hold surrogates, which UTF-8 has no bytes for.
            beside.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another run",
            code="unwritable",
            path=path,
        ) from error
    return path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunError(
            f"{path} is missing: a report is made from a run that has ended; resume the run first",
            code="not_ready",
            path=path,
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}", code="unreadable", path=path) from error


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise RunError(
            f"{path} is not JSON (line {error.lineno}: {error.msg}); run the recipe again", code="damaged", path=path
        ) from None
    return _checked(path, content)


def _recipe(path: Path, text: str) -> dict[str, Any]:
    try:
        content = parsed(text)
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise RunError(f"{path} is not YAML: {line}", code="damaged", path=path) from None
    return _checked(path, content)


def _checked(path: Path, content: object) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise RunError(
            f"{path} holds a {type(content).__name__}, expected a mapping of names to values", code="damaged", path=path
        )
    return {str(key): value for key, value in content.items()}


def _events(path: Path) -> list[dict[str, Any]]:
    lines = [(number, line) for number, line in enumerate(_text(path).split("\n"), start=1) if line.strip()]
    events = []
    for number, line in lines:
        try:
            event = json.loads(line)
        except json.JSONDecodeError as error:
            if number == lines[-1][0]:
                break  # a run that was killed while it wrote
            raise RunError(
                f"{path}, line {number}, is not JSON ({error.msg}); run the recipe again",
                code="damaged",
                path=f"{path}, line {number}",
            ) from None
        if not isinstance(event, dict) or not {"stage", "seed", "step"} <= event.keys():
            raise RunError(
                f"{path}, line {number}, is not an event: expected an object with stage, seed and step",
                code="damaged",
                path=f"{path}, line {number}",
            )
        events.append(event)
    return events
