"""Wrappers of a teacher: other classes than the data, preprocessing of its inputs, and a confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

import limbeck.teachers.preprocess  # noqa: F401  # registers them
from limbeck import registry
from limbeck.core import Teacher
from limbeck.errors import RecipeError
from limbeck.recipes.options import construct, resolve_options, resolve_use
from limbeck.teachers import Confidence, Preprocessed

__all__ = ["WRAPPER_OPTIONS", "preprocessed_shape", "resolve_wrappers", "with_confidence", "with_preprocess"]

Spec = Mapping[str, Any]

WRAPPER_OPTIONS = ("classes", "preprocess", "confidence")


def _options(
    *, classes: list[str | int] | None = None, preprocess: Any = None, confidence: float | None = None
) -> None: ...


def resolve_wrappers(given: Spec, path: str) -> dict[str, Any]:
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
        raise RecipeError(f"{path}.confidence is {found['confidence']}; it must be a probability")
    return {option: value for option, value in found.items() if value is not None}


def with_preprocess(model: nn.Module, spec: Spec, path: str) -> nn.Module:
    """The model with its section's ``preprocess`` in front of it, if there is one."""
    preprocess = _preprocess(spec, path)
    return model if preprocess is None else Preprocessed(model, preprocess)


def preprocessed_shape(shape: Spec, spec: Spec, path: str) -> dict[str, Any]:
    """The values that the data supplies to a constructor, after ``preprocess`` and with the section's ``classes``."""
    shape, preprocess = dict(shape), _preprocess(spec, path)
    if spec.get("classes") is not None:
        own = {"classes": len(spec["classes"]), "names": tuple(spec["classes"])}
        shape |= {name: value for name, value in own.items() if name in shape}
    if preprocess is not None and "size" in shape:
        shape["size"] = tuple(preprocess(torch.zeros(1, shape["channels"], *shape["size"])).shape[2:])
    return shape


def _preprocess(spec: Spec, path: str) -> nn.Module | None:
    given, path = spec.get("preprocess"), f"{path}.preprocess"
    if given is None:
        return None
    entry = construct(registry.lookup, {"kind": "preprocess", "name": given["use"]}, path=path)
    preprocess: nn.Module = construct(entry, {key: value for key, value in given.items() if key != "use"}, path=path)
    return preprocess


def with_confidence(teacher: Teacher, spec: Spec, path: str) -> Teacher:
    """The teacher with its confidence, if its section asks for it."""
    threshold = spec.get("confidence")
    if threshold is None:
        return teacher
    sure: Confidence = construct(Confidence, {"teacher": teacher, "threshold": threshold}, path=path)
    return sure
