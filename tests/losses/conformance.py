"""What the conformance tests share: the description of a loss, and how to build it and feed it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import limbeck.losses  # noqa: F401  # registers the losses
from limbeck import registry

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class LossCase:
    """One row of the table: a registered loss, its options, and what holds for it.

    The oracle is the function `name` in tests/oracles/<name>.py. It is called with the inputs, the options, and the
    loss's state with "_" for "." in the names. Arguments called `student…` and `teacher…` come from these sources, all
    others from the batch. Inputs called `student.0`, `student.1`, … are the layers of one argument, a tuple.
    """

    name: str
    inputs: Callable[[np.random.Generator], Arrays]
    options: Mapping[str, Any] = field(default_factory=dict)
    relational: bool = False
    zero_at_equality: bool = True  # 0, with gradient 0, where the student's values are the teacher's
    any_leading: bool = True  # rows may stand on more axes than one: [B, T, …] gives [B, T]
    float64: float = 1e-12
    float32: float = 1e-6
    half: float = 1e-2  # of gradients; values are computed in float32
    extreme: float = 1e4
    half_value: float | None = None  # of values in half precision; ten times that of float32 if None
    # Further arguments, computed from those that are drawn: for losses that differentiate one by another.
    derived: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = lambda drawn: {}
    steps: int = 0  # optimizer steps behind it, for losses that keep state
    held_constant: bool = False  # it holds a factor constant, so its gradient is not that of its value
    per_row: bool = True  # one value for each row; else one for all, [1], that no row has a part in
    note: str = ""

    def __str__(self) -> str:
        parts = [*(f"{key}={value}" for key, value in self.options.items()), *filter(None, [self.note])]
        return f"{self.name}({', '.join(parts)})"

    def arrays(self, seed: int = 0) -> Arrays:
        return self.inputs(np.random.default_rng(seed))

    def arguments(self, drawn: Mapping[str, Tensor]) -> dict[str, Any]:
        return {**layered(drawn), **self.derived(drawn)}

    def oracle(self, loss: nn.Module, arrays: Arrays) -> NDArray[np.float64]:
        """The value by the oracle, in float64."""
        state = {key.replace(".", "_"): value.double().numpy() for key, value in loss.state_dict().items()}
        function = getattr(importlib.import_module(f"oracles.{self.name}"), self.name)
        value: NDArray[np.float64] = function(**layered(arrays), **{**state, **self.options})
        return value

    def build(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
        """The loss by its registered name, sized; drawn in float32, so that it is the same in every precision."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            loss: nn.Module = registry.lookup("loss", self.name)(**self.options)
            prepare = getattr(loss, "prepare", None)
            if prepare is not None:
                prepare([layered(tensors(self.arrays(), torch.float32))])
            for step in range(1, self.steps + 1):
                loss(**self.arguments(tensors(self.arrays(seed=step), torch.float32)))
                loss.after_step(step)
        return loss.to(dtype)


def layered(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by argument: those whose names have a number, in order, as one tuple."""
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        argument, _, layer = name.partition(".")
        arguments[argument] = (*arguments.get(argument, ()), value) if layer else value
    return arguments


def tensors(arrays: Arrays, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Arrays as tensors, the floating ones in this dtype; what is called `student…` requires a gradient."""
    values = {}
    for name, array in arrays.items():
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
        values[name] = tensor.requires_grad_(name.startswith("student"))
    return values


def rounded(arrays: Arrays, dtype: torch.dtype) -> Arrays:
    """The same arrays, in float64, with values that this dtype can hold."""
    return {
        name: torch.from_numpy(array).to(dtype).double().numpy() if np.issubdtype(array.dtype, np.floating) else array
        for name, array in arrays.items()
    }


def gradients(value: Tensor, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of the sum with respect to each tensor that requires one; only a layer may have no part in it."""
    wanted = {name: tensor for name, tensor in values.items() if tensor.requires_grad}
    by_name = dict(zip(wanted, torch.autograd.grad(value.sum(), list(wanted.values()), allow_unused=True), strict=True))
    assert all(gradient is not None or "." in name for name, gradient in by_name.items())
    return {name: torch.zeros_like(wanted[name]) if grad is None else grad for name, grad in by_name.items()}


def difference(actual: Tensor, expected: Tensor | NDArray[np.float64]) -> float:
    """The largest difference, as a share of the largest expected value."""
    expected = torch.as_tensor(expected).double()
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    return float((actual.detach().double() - expected).abs().max() / expected.abs().max().clamp(min=1e-300))


def address(argument: str, *, parameter: bool = False) -> str:
    source = next((source for source in ("student", "teacher") if argument.startswith(source)), "batch")
    return f"{source}.parameters.{argument}" if parameter else f"{source}.{argument}"


def board(values: Mapping[str, Any], **batch: Tensor) -> dict[str, dict[str, Any]]:
    """The arguments of a loss laid out where `address` finds them."""
    sources: dict[str, dict[str, Any]] = {"batch": dict(batch), "student": {}, "teacher": {}}
    for argument, value in values.items():
        source = address(argument).partition(".")[0]
        sources[source] |= {argument: value, f"parameters.{argument}": value}
    return sources
