"""Wrappers of a teacher: other classes than the data, preprocessing of its inputs, and a confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

import limbeck.teachers.preprocess  # noqa: F401  # registers them
from limbeck.core import Teacher
from limbeck.errors import RecipeError
from limbeck.recipes.entry_spec import EntrySpec
from limbeck.recipes.options import construct, resolve_options, resolve_use
from limbeck.teachers import Confidence, Preprocessed

__all__ = ["WRAPPER_OPTIONS", "preprocessed_shape", "resolve_wrappers", "with_confidence", "with_preprocess"]

WRAPPER_OPTIONS = ("classes", "preprocess", "confidence")


def _options(
    *, classes: list[str | int] | None = None, preprocess: Any = None, confidence: float | None = None
) -> None: ...


def resolve_wrappers(given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The options that are given; the others are omitted.

    Raises:
        RecipeError: with the place in the recipe.
    """
    found = resolve_options(_options, given, path=path, name=path)
    if found["classes"] is not None:
        found["classes"] = [str(name) for name in found["classes"]]
    if found["preprocess"] is not None:
        found["preprocess"] = resolve_use(["preprocess"], found["preprocess"], f"{path}.preprocess")
    if found["confidence"] is not None and not 0 <= found["confidence"] <= 1:
        raise RecipeError(
            f"{path}.confidence is {found['confidence']}; it must be a probability",
            code="out_of_range",
            path=f"{path}.confidence",
        )
    return {option: value for option, value in found.items() if value is not None}


def with_preprocess(model: nn.Module, wrappers: Mapping[str, Any], path: str) -> nn.Module:
    """The model with the ``preprocess`` of its section in front of it, if there is one."""
    preprocess = _preprocess(wrappers, path)
    return model if preprocess is None else Preprocessed(model, preprocess)


def preprocessed_shape(shape: Mapping[str, Any], wrappers: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The values that the data supplies to a constructor, after ``preprocess`` and with the section's ``classes``."""
    shape, preprocess = dict(shape), _preprocess(wrappers, path)
    classes = wrappers.get("classes")
    if classes is not None:
        own = {"classes": len(classes), "names": tuple(classes)}
        shape |= {name: value for name, value in own.items() if name in shape}
    if preprocess is not None and "size" in shape:
        shape["size"] = tuple(preprocess(torch.zeros(1, shape["channels"], *shape["size"])).shape[2:])
    return shape


def _preprocess(wrappers: Mapping[str, Any], path: str) -> nn.Module | None:
    given = wrappers.get("preprocess")
    if given is None:
        return None
    options = {option: value for option, value in given.items() if option != "use"}
    preprocess: nn.Module = EntrySpec(("preprocess",), given["use"], options, f"{path}.preprocess").build()
    return preprocess


def with_confidence(teacher: Teacher, threshold: float | None, path: str) -> Teacher:
    """The teacher with its confidence, if its section gives a threshold."""
    if threshold is None:
        return teacher
    sure: Confidence = construct(
        Confidence, {"teacher": teacher, "threshold": threshold}, path=path, places={"threshold": f"{path}.confidence"}
    )
    return sure
