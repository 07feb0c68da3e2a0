"""Which address each argument of a loss reads."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import nn

from limbeck.core.addresses import Address
from limbeck.errors import ArgumentError, suggest

__all__ = ["arguments", "bind", "default_address", "mask_is_optional"]

_defaults = {
    "target": "batch.target",
    "student_logits": "student.logits",
    "teacher_logits": "teacher.logits",
    "row": "batch.row",
}


def default_address(argument: str, main: str = "logits") -> Address | None:
    """What an argument of this name reads unless a term gives an address; None if a term must give one.

    Args:
        argument: its name.
        main: the main output of the task's models.

    >>> default_address("teacher"), default_address("student", main="value"), default_address("attention")
    ('teacher.logits', 'student.value', None)
    """
    return f"{argument}.{main}" if argument in ("student", "teacher") else _defaults.get(argument)


def arguments(loss: nn.Module | type[nn.Module]) -> dict[str, inspect.Parameter]:
    """The arguments of a loss that read the board: not the mask of a relational one, which its term makes."""
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    relational = bool(getattr(loss, "relational", False))
    parameters = inspect.signature(loss.forward).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind not in open_ended and not (relational and name == "mask")
    }


def bind(loss: nn.Module | type[nn.Module], inputs: Mapping[str, Address], main: str = "logits") -> dict[str, Address]:
    """The address of every argument that has one; ``main`` as in `default_address`.

    Raises:
        ArgumentError: if an argument is unknown, or needs an address and has none.
    """
    name, known = (loss if isinstance(loss, type) else type(loss)).__name__, arguments(loss)
    for argument in inputs:
        if argument not in known:
            raise ArgumentError(
                f"{name} has no argument {argument!r}.{suggest(argument, known)}",
                code="unknown_name",
                path=f"inputs.{argument}",
            )
    bound = {}
    for argument, parameter in known.items():
        address = inputs.get(argument, default_address(argument, main))
        if address is not None:
            bound[argument] = address
        elif parameter.default is inspect.Parameter.empty:
            raise ArgumentError(
                f"the argument {argument!r} of {name} has no default address; give "
                f"inputs={{{argument!r}: 'student.…'}}",
                code="missing",
                path=f"inputs.{argument}",
            )
    if not bound:
        raise ArgumentError(
            f"{name} reads nothing; its forward must take at least one tensor by name", code="unsupported", path="loss"
        )
    return bound


def mask_is_optional(loss: nn.Module) -> bool:
    """Whether a relational loss takes None in place of a mask of all rows."""
    mask = inspect.signature(loss.forward).parameters.get("mask")
    return mask is not None and mask.default is None
