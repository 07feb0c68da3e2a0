"""Trying a module out without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy

__all__ = ["eval_mode", "preserve_buffers", "preserve_random_state", "preserve_state"]


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards every submodule is in its own mode again."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def preserve_buffers(module: nn.Module) -> Iterator[None]:
    """Afterwards every buffer is the tensor that it was, with the values that it had."""
    kept = [
        (part, name, buffer, None if buffer is None else buffer.detach().clone())
        for part in module.modules()
        for name, buffer in part._buffers.items()
        if buffer is None or not is_lazy(buffer)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, name, buffer, values in kept:
                # Writing what is there already would spoil a graph that has saved the buffer.
                if buffer is not None and values is not None and not torch.equal(buffer, values):
                    buffer.copy_(values)
                part._buffers[name] = buffer


@contextmanager
def preserve_random_state() -> Iterator[None]:
    """Afterwards torch's random state is as before, on the CPU and on the current CUDA device."""
    used = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if used else []):
        yield


@contextmanager
def preserve_state(module: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards the modes, the buffers and torch's random state are as before."""
    with eval_mode(module), preserve_buffers(module), preserve_random_state():
        yield
