"""Traces the modules of a network: their outputs, and those on every path from inputs to logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from limbeck.core import call_model
from limbeck.core.addresses import tensors
from limbeck.models.network import network

__all__ = ["Inputs", "Layer", "Module", "Trace", "modules", "stages", "trace"]

Inputs: TypeAlias = Tensor | Mapping[str, Tensor]

_containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Module:
    """A module in one forward.

    Args:
        path: in the network.
        kind: the name of its class.
        shapes: of the tensors that it gave; empty if it did not run.
        parameters: how many numbers it learns, with all modules in it.
        runs: how often it ran.
    """

    path: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    parameters: int
    runs: int


@dataclass(frozen=True)
class Layer:
    """A module that runs once and gives one tensor, in which nothing changes later.

    Args:
        path: in the network.
        shape: of one row.
        depth: the share of the weighted modules that have begun when its output is there.
    """

    path: str
    shape: tuple[int, ...]
    depth: float

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width of maps, the length of a sequence, nothing for a vector."""
        return {1: (), 2: self.shape[:1]}.get(len(self.shape), self.shape[1:])


@dataclass(frozen=True)
class Trace:
    """The layers of a model.

    Args:
        layers: all, by path.
        trunk: those that every way from the inputs to the logits goes through, early to late: of those between two
            weighted modules the last that has kept the shape, of those with one output the outermost. Not the logits.
    """

    layers: Mapping[str, Layer]
    trunk: tuple[Layer, ...]


@dataclass(frozen=True)
class _Output:
    path: str
    value: Any
    begun: int
    version: int
    node: Any


class _Watch:
    """Records what every module gives, in the order in which they end."""

    def __init__(self) -> None:
        self.outputs: list[_Output] = []
        self.begun = 0

    def begin(self, module: nn.Module) -> None:
        # A bias or the scale of a normalization makes no layer of its own.
        self.begun += any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))

    def end(self, path: str, value: Any) -> None:
        version, node = (value._version, value.grad_fn) if isinstance(value, Tensor) else (0, None)
        self.outputs.append(_Output(path, value, self.begun, version, node))


@contextmanager
def _watched(net: nn.Module) -> Iterator[_Watch]:
    watch = _Watch()
    hooks = []
    for path, module in net.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda module, args: watch.begin(module)))
        hooks.append(module.register_forward_hook(lambda module, args, output, path=path: watch.end(path, output)))
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


def modules(model: nn.Module, inputs: Inputs) -> list[Module]:
    """All modules of the network, as a forward in eval mode without gradients runs them."""
    net, _ = network(model)
    with _watched(net) as watch, torch.no_grad():
        call_model(model.eval(), inputs)
    shapes = {output.path: tuple(tuple(tensor.shape) for tensor in tensors(output.value)) for output in watch.outputs}
    runs = Counter(output.path for output in watch.outputs)
    return [
        Module(path, type(part).__name__, shapes.get(path, ()), sum(p.numel() for p in part.parameters()), runs[path])
        for path, part in net.named_modules()
    ]


def trace(model: nn.Module, inputs: Inputs) -> Trace:
    """The layers of a model in eval mode, found by one forward and the graph that it leaves."""
    net, _ = network(model)
    with _watched(net) as watch, torch.enable_grad():
        source, logits = _differentiable(model.eval(), inputs)
    runs = Counter(output.path for output in watch.outputs)
    once = [output for output in watch.outputs if runs[output.path] == 1 and _is_layer(output, len(logits))]
    layers = {o.path: Layer(o.path, tuple(o.value.shape[1:]), o.begun / max(watch.begun, 1)) for o in once}
    passed = set() if source is None else _on_every_way(source, logits.grad_fn)
    blocks = _blocks(net)
    # Of texts the last weighted module may give logits for every word, of which those of a row are taken.
    last = watch.begun if isinstance(inputs, Mapping) else watch.begun + 1
    trunk = [
        output
        for output in once
        if 0 < output.begun < last
        and output.node in passed
        and output.node is not logits.grad_fn
        and not _inside(output, blocks)
    ]
    chosen = [_outermost(list(group)) for _, group in groupby(trunk, key=lambda output: output.begun)]
    return Trace(layers, tuple(layers[path] for path in chosen))


def _differentiable(model: nn.Module, inputs: Inputs) -> tuple[Any, Tensor]:
    """The node of the inputs in the graph of the logits, and these; of texts, that of the words' vectors."""
    if isinstance(inputs, Tensor):
        source = inputs.clone().requires_grad_().clone()
        return source.grad_fn, _logits(model(source))
    nodes: list[Any] = []

    def embedded(module: nn.Module, args: tuple[Any, ...], vectors: Tensor) -> Tensor | None:
        if nodes or not args or not torch.equal(args[0], inputs["input_ids"]):
            return None
        source = vectors.detach().requires_grad_().clone()
        nodes.append(source.grad_fn)
        return source

    hooks = [part.register_forward_hook(embedded) for part in model.modules() if isinstance(part, nn.Embedding)]
    try:
        logits = _logits(call_model(model, inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return (nodes[0] if nodes else None), logits


def _logits(given: Any) -> Tensor:
    logits: Tensor = given["logits"] if isinstance(given, Mapping) else given
    return logits


def _is_layer(output: _Output, rows: int) -> bool:
    value = output.value
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.ndim > 1
        and len(value) == rows
        and value._version == output.version
    )


def _blocks(net: nn.Module) -> set[str]:
    """The modules that stand in a row, such as residual and transformer blocks: what is in them is their own."""
    return {
        path
        for path, module in net.named_modules()
        if path
        and not isinstance(module, _containers)
        and isinstance(net.get_submodule(path.rpartition(".")[0]), _containers)
    }


def _inside(output: _Output, blocks: set[str]) -> bool:
    parts = output.path.split(".")
    return any(".".join(parts[:used]) in blocks for used in range(1, len(parts)))


def _outermost(group: Sequence[_Output]) -> str:
    kept = [output for output in group if output.value.shape == group[0].value.shape]
    same = [output for output in kept if output.node is kept[-1].node]
    return min(same, key=lambda output: output.path.count(".")).path


def _on_every_way(source: Any, sink: Any) -> set[Any]:
    """The nodes of an autograd graph without which no way leads from one node to the other; none if there is no way."""
    order = _ordered(sink)
    behind = {sink: 1}
    for node in order:
        for before, _ in node.next_functions:
            if before is not None:
                behind[before] = behind.get(before, 0) + behind[node]
    ahead = {source: 1}
    for node in reversed(order):
        if node is not source:
            ahead[node] = sum(ahead[before] for before, _ in node.next_functions if before is not None)
    # Whole numbers without end: a network of n residual blocks has 2ⁿ ways.
    return {node for node in order if behind[node] * ahead[node] == ahead[sink] > 0}


def _ordered(sink: Any) -> list[Any]:
    """All nodes that lead to this one, each before those that lead to it."""
    done: dict[Any, None] = {}
    stack = [(sink, False)]
    while stack:
        node, left = stack.pop()
        if left:
            done[node] = None
        elif node not in done:
            stack.append((node, True))
            stack.extend((before, False) for before, _ in node.next_functions if before not in done and before)
    return list(reversed(done))


def stages(layers: Sequence[Layer]) -> list[Layer]:
    """The last layer of each size, where maps come in several; otherwise all layers of the most common size."""
    runs = [list(run) for _, run in groupby(layers, key=lambda layer: layer.size)]
    if sum(len(run[0].size) > 1 for run in runs) > 1:
        return [run[-1] for run in runs]
    common = dict(Counter(layer.size for layer in layers).most_common(1))
    return [layer for layer in layers if layer.size in common]
