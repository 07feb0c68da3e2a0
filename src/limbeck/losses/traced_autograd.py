"""Losses that differentiate inside their forward, under torch.compile."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.errors import ArgumentError

__all__ = ["check_traced", "is_of_compiled_graph"]


class _UntracedError(ArgumentError, AssertionError):
    """Tracing re-raises an AssertionError, but appends the user's code to its text."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line

    def __str__(self) -> str:
        return self.line


def check_traced(operation: str) -> None:
    """Reject tracing by torch.compile where it would break the graph at a gradient; does nothing in eager mode.

    Raises:
        ArgumentError: one line that says what to set.
    """
    if torch.compiler.is_compiling():
        _check_setting(operation)


# The tracer runs this function instead of tracing it, so that its error does not cause a fallback to eager mode.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _check_setting(operation: str) -> bool:
    if not getattr(torch._dynamo.config, "trace_autograd_ops", False):
        raise _UntracedError(
            f"{operation} differentiates inside the forward: under torch.compile set "
            "torch._dynamo.config.trace_autograd_ops = True before the first step, or leave the Distiller uncompiled"
        )
    return True


def is_of_compiled_graph(tensor: Tensor) -> bool:
    """Whether a tensor is an output of a model that was compiled alone, whose graph cannot be differentiated inside."""
    return type(tensor.grad_fn).__name__ == "CompiledFunctionBackward"
