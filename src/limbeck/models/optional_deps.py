"""What the models of other packages have in common: how their package is found and how they are tried."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import nn

from limbeck.errors import ArgumentError

__all__ = ["check_forward", "check_name", "import_library"]


def import_library(name: str, extra: str = "vision") -> ModuleType:
    """Import an optional package, of one of limbeck's extras.

    Raises:
        ArgumentError: if it is not installed; the message says how to install it.

    >>> import_library("torch").__name__
    'torch'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ArgumentError(
            f'the model {name!r} cannot import {name} ({error}); pip install "limbeck[{extra}]"',
            code="not_installed",
        ) from error


def check_name(library: str, name: str, known: Sequence[str]) -> None:
    """Refuse a name that the package does not know; its names are too many to list in an error.

    Raises:
        ArgumentError: with the nearest known names, if there are any.

    >>> check_name("timm", "resnet18", ["resnet18", "resnet34"])
    """
    if name not in known:
        near = ", ".join(map(repr, difflib.get_close_matches(name, known)))
        tail = f"Did you mean {near}?" if near else f"It knows {len(known)}, such as {known[0]!r}."
        raise ArgumentError(f"no {library} model {name!r}. {tail}", code="unknown_name", path="name")


def check_forward(label: str, model: nn.Module, channels: int, classes: int, size: tuple[int, int]) -> None:
    """Refuse a model that cannot turn one image of this shape into logits; its mode is left as it was.

    Raises:
        ArgumentError: if the forward pass fails, or gives something else than [1, classes].

    >>> check_forward("flatten", nn.Flatten(), 1, 4, (2, 2))
    """
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits = model(torch.zeros(1, channels, *size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ArgumentError(
            f"{label} cannot take images of {size[0]}×{size[1]} ({_first_line(error)}); "
            "choose another model or image size",
            code="unsupported",
            path="name",
        ) from error
    finally:
        model.train(mode)
    shape = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != [1, classes]:
        raise ArgumentError(
            f"{label} gives {shape} for one image; expected logits of shape {[1, classes]}",
            code="wrong_shape",
            path="name",
        )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
