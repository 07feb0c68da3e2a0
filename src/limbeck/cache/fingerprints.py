"""What identifies a cache: the weights of the teacher, and the libraries that computed its outputs."""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import version
from types import BuiltinFunctionType, FunctionType

import torch
from torch import Tensor, nn

__all__ = ["fingerprint_model", "library_versions"]

_no_setting = ("training", "forward")
_functions = (FunctionType, BuiltinFunctionType)
_place_in_memory = re.compile(r" at 0x[0-9a-f]+")


def fingerprint_model(model: nn.Module) -> str:
    """The sha256 of a model's parameters and buffers, and of the kinds and settings of its modules.

    The settings are what a module prints, and its attributes that are numbers or functions: two models with the same
    weights and another activation differ, or with another number of attention heads. Mode, device and gradients have no
    part in it, nor has a wrapper around ``forward``.

    >>> model = nn.Linear(3, 2)
    >>> before = fingerprint_model(model)
    >>> with torch.no_grad():
    ...     _ = model.bias.add_(1)
    >>> fingerprint_model(model) == before
    False
    """
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        printed = _place_in_memory.sub("", module.extra_repr())
        digest.update(f"{name}:{type(module).__qualname__}({printed}){_attributes(module)};".encode())
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name}:{tensor.dtype}{list(tensor.shape)};".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _attributes(module: nn.Module) -> list[str]:
    own = {name: value for name, value in vars(module).items() if not name.startswith("_") and name not in _no_setting}
    plain = {name: repr(value) for name, value in own.items() if isinstance(value, (int, float))}
    functions = {name: value.__qualname__ for name, value in own.items() if isinstance(value, _functions)}
    return [f"{name}={value}" for name, value in sorted({**plain, **functions}.items())]


def _bytes(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().tobytes()


def library_versions() -> dict[str, str]:
    """The versions of what computes and writes outputs, without a build's suffix: ``"2.9.0"`` for ``"2.9.0+cpu"``.

    >>> sorted(library_versions())
    ['limbeck', 'numpy', 'torch']
    """
    return {name: version(name).split("+")[0] for name in ("limbeck", "numpy", "torch")}
