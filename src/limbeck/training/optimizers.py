"""Optimizers of torch by name, and learning rates as functions of the step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from limbeck.core import Distiller
from limbeck.errors import ArgumentError, suggest
from limbeck.training.settings import Settings

__all__ = ["make_optimizer", "make_optimizers", "rate_factor"]

# They need a closure or another kind of parameter than a training step here gives them.
_unsuited = {"LBFGS", "SparseAdam", "Optimizer"}


def _known() -> dict[str, type[torch.optim.Optimizer]]:
    classes = inspect.getmembers(torch.optim, inspect.isclass)
    return {
        name.lower(): found
        for name, found in classes
        if issubclass(found, torch.optim.Optimizer) and name not in _unsuited
    }


def make_optimizer(settings: Settings, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that the settings name, over these parameters.

    Raises:
        ArgumentError: if torch has no such optimizer, or it does not take one of the options.
    """
    known = _known()
    name = settings.optimizer.lower()
    if name not in known:
        raise ArgumentError(
            f"no optimizer {settings.optimizer!r}.{suggest(name, known)}", code="unknown_name", path="optimizer"
        )
    accepted = inspect.signature(known[name]).parameters
    options: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    options = {key: value for key, value in options.items() if key in accepted}
    for key, value in settings.optimizer_options.items():
        if key == "lr":
            raise ArgumentError.at("optimizer_options", "lr follows the schedule; set learning_rate", code="conflict")
        if key not in accepted or key == "params":
            raise ArgumentError.at(
                "optimizer_options",
                f"{settings.optimizer} takes no {key!r}.{suggest(key, accepted)}",
                code="unknown_name",
            )
        # YAML has lists where torch wants tuples, as in betas.
        options[key] = tuple(value) if isinstance(value, list) else value
    if "fused" in accepted and not {"foreach", "capturable", "differentiable"} & options.keys():
        # One kernel for all parameters: a tenth of the step of a small network.
        options.setdefault("fused", True)
    try:
        return known[name]([p for p in parameters if p.requires_grad], **options)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"optimizer {settings.optimizer}: {error}", path="optimizer_options") from error


def make_optimizers(
    settings: Settings, own: Mapping[str, Settings], distiller: Distiller
) -> list[torch.optim.Optimizer]:
    """The optimizers of one training, in the order in which they step: the main one, and those of single students.

    Args:
        settings: of the main one, which has everything that is trained but these students.
        own: by the name of the student. A parameter that several of them share is the first one's.
        distiller: whose parameters they train.

    Raises:
        ArgumentError: as in `make_optimizer`; the message names the student.
    """
    taken: set[int] = set()
    found = []
    for name, one in own.items():
        parameters = [p for p in distiller.students[name].parameters() if id(p) not in taken]
        taken |= set(map(id, parameters))
        try:
            found.append(make_optimizer(one, parameters))
        except ArgumentError as error:
            raise ArgumentError(
                f"student {name!r}: {error}", code=error.code, path=f"students.{name}.{error.path}"
            ) from error
    return [make_optimizer(settings, (p for p in distiller.parameters() if id(p) not in taken)), *found]


def _one_cycle(progress: float) -> float:
    peak = 0.3
    if progress < peak:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / peak))
    return 0.5 * (1 + math.cos(math.pi * (progress - peak) / (1 - peak)))


_shapes: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1.0 - progress,
    "step": lambda progress: 0.1 ** (int(progress >= 0.5) + int(progress >= 0.75)),
    "exponential": lambda progress: 0.01**progress,
    "one_cycle": _one_cycle,
}


def rate_factor(settings: Settings, step: int, total: int) -> float:
    """What the learning rate is multiplied by at a step: a pure function, so that resuming needs the step alone.

    ``step`` falls to a tenth at 1/2 and 3/4 of the way, ``exponential`` falls to a hundredth, ``one_cycle`` rises from
    0.04 to 1 over the first 0.3 and falls to 0. Warmup is a straight line in front of each.

    >>> [round(rate_factor(Settings(warmup=0.0), step, 100), 3) for step in (0, 50, 100)]
    [1.0, 0.5, 0.0]
    """
    warm = round(settings.warmup * total)
    if step < warm:
        return (step + 1) / warm
    return _shapes[settings.schedule]((step - warm) / max(total - warm, 1))
