"""Several teachers by name, and their shares."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from limbeck.core import Outputs
from limbeck.core.addresses import check_name
from limbeck.errors import ArgumentError, suggest

__all__ = ["check_members", "logits_in", "shares_of", "whole_logits"]


def check_members(kind: str, members: Collection[str], taken: Collection[str] = ()) -> None:
    """Refuse an empty collection, and names that no address could hold or that stand for something else."""
    if not members:
        raise ArgumentError(f"{kind} needs at least one member", code="missing", path="members")
    for name in members:
        check_name("member", name)
        if name in taken:
            raise ArgumentError(
                f"{name!r} is the name of {kind}'s own output; choose another name for the member",
                code="in_use",
                path=f"members.{name}",
            )


def shares_of(kind: str, members: Collection[str], weights: Mapping[str, float] | None) -> dict[str, float]:
    """The weights divided by their sum, in the order of the members; equal ones if none are given."""
    weights = dict.fromkeys(members, 1.0) if weights is None else weights
    for name in weights:
        if name not in members:
            raise ArgumentError(
                f"weights: {kind} has no member {name!r}.{suggest(name, members)}",
                code="unknown_name",
                path=f"weights.{name}",
            )
    missing = sorted(set(members) - set(weights))
    if missing:
        raise ArgumentError.at("weights", f"no weight for {missing}; give one for every member", code="missing")
    total = sum(weights.values())
    if not math.isfinite(total) or total <= 0 or min(weights.values()) < 0:
        raise ArgumentError(f"weights={dict(weights)}; they must be at least 0 and not all 0", path="weights")
    return {name: weights[name] / total for name in members}


def logits_in(kind: str, outputs: Outputs) -> Any:
    """The logits among the outputs of a teacher, whole or sparse.

    Raises:
        ArgumentError: if it gives none, as a model of numbers does.
    """
    if "logits" not in outputs:
        raise ArgumentError(
            f"{kind} needs logits, and was given {', '.join(outputs)}; it is for models that score classes",
            code="unsupported",
            path="logits",
        )
    return outputs["logits"]


def whole_logits(kind: str, outputs: Outputs) -> Tensor:
    """The logits of all classes among the outputs of a teacher.

    Raises:
        ArgumentError: if it gives none, or only the largest, as a cache may keep them.
    """
    logits = logits_in(kind, outputs)
    if not isinstance(logits, Tensor):
        raise ArgumentError(
            f"{kind} needs the logits of all classes, and was given {type(logits).__name__}; cache the teacher with a "
            "codec that keeps all",
            code="unsupported",
            path="logits",
        )
    return logits
