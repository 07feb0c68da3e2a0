"""What a loss costs, measured: operations and the most memory held at once; and the stated orders, as numbers."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from limbeck.recipes.docstrings import read_docstring

Sizes = Mapping[str, int]
_superscripts = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


class Meter(TorchDispatchMode):
    """Counts operations (of products: theirs; else one for each element), and elements that live at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.peak = 0
        self._live: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        out = func(*args, **kwargs)
        output = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.operations += self._operations(func, args, kwargs, out, [*given, *output])
        given_storages = {StorageWeakRef(tensor.untyped_storage()) for tensor in given}
        for tensor in output:
            storage = tensor.untyped_storage()
            if StorageWeakRef(storage) not in given_storages:
                self._live[StorageWeakRef(storage)] = storage.nbytes() // tensor.itemsize
        self._live = {storage: size for storage, size in self._live.items() if not storage.expired()}
        self.peak = max(self.peak, sum(self._live.values()))
        return out

    @staticmethod
    def _operations(func: Any, args: Any, kwargs: Any, out: Any, tensors: list[Tensor]) -> int:
        if any(value.alias_info is not None and not value.alias_info.is_write for value in func._schema.returns):
            return 0  # a view
        if func._overloadpacket in flop_registry:
            return int(flop_registry[func._overloadpacket](*args, **kwargs, out_val=out))
        if func._overloadpacket is torch.ops.aten._pdist_forward:
            return out.numel() * args[0].shape[1]
        return max((tensor.numel() for tensor in tensors), default=0)


def measured(call: Callable[[], Tensor]) -> tuple[int, int]:
    """The operations of a forward and the elements that it holds, those kept for backward among them."""
    with Meter() as meter:
        call()
    return meter.operations, meter.peak


# The orders that a docstring states.


def orders(cost: str) -> dict[str, str]:
    """The expressions in "O(…) operations, O(…) memory".

    >>> orders("O(B² D) operations, O(B min(C, D)) memory, for each.")
    {'operations': 'B² D', 'memory': 'B min(C, D)'}
    """
    matches = re.findall(r"O\(((?:[^()]|\([^()]*\))*)\) (operations|memory)\b", cost)
    return {of: expression for expression, of in matches}


def value(expression: str, sizes: Sizes) -> float:
    """An order at these sizes: sums of products of symbols with powers, and of the least of several.

    >>> value("B² D + min(B, D H)", {"B": 3, "D": 2, "H": 1})
    20
    """
    tokens = re.findall(r"min\(|[A-Za-z]|[⁰¹²³⁴⁵⁶⁷⁸⁹]+|[()+,]", expression)
    assert "".join(tokens) == expression.replace(" ", ""), f"cannot read the order {expression!r}"
    total = _sum(tokens, sizes)
    assert not tokens, f"cannot read the order {expression!r}"
    return total


def _sum(tokens: list[str], sizes: Sizes) -> int:
    total = _product(tokens, sizes)
    while tokens and tokens[0] == "+":
        tokens.pop(0)
        total += _product(tokens, sizes)
    return total


def _product(tokens: list[str], sizes: Sizes) -> int:
    total = 1
    while tokens and tokens[0] not in (")", "+", ","):
        token = tokens.pop(0)
        if token in ("(", "min("):
            parts = [_sum(tokens, sizes)]
            while tokens.pop(0) == ",":
                parts.append(_sum(tokens, sizes))
            factor = min(parts)
        else:
            factor = sizes[token]
        if tokens and tokens[0][0] in "⁰¹²³⁴⁵⁶⁷⁸⁹":
            factor **= int(tokens.pop(0).translate(_superscripts))
        total *= factor
    return total


# The arguments that a docstring describes.


def shapes(
    function: Callable[..., Any], given: Mapping[str, str], options: Collection[str] = ()
) -> dict[str, list[str]]:
    """The axes of each tensor that a function needs: as given, else those of the longest shape in its docstring.

    An axis is a symbol, or several for their product. `*` stands for the axes of the first argument but its last, and
    is B there; `…` goes on as the first argument does, and is D there; who names no shape has that of the first.
    """
    described = read_docstring(function).arguments["Args"]
    axes: dict[str, list[str]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not inspect.Parameter.empty or name in options:
            continue
        first = next(iter(axes.values()), ["B", "D"])
        named = [re.sub("[' ]", "", part).split(",") for part in re.findall(r"\[([^\]]*)\]", described[name])]
        symbols = given[name].split() if name in given else max(named, key=len, default=first)
        rows = first[:-1] if axes else ["B"]
        symbols = [axis for symbol in symbols for axis in (rows if symbol == "*" else [symbol])]
        axes[name] = [*symbols[:-1], *first[len(symbols) - 1 :]] if symbols[-1] == "…" else symbols
    return axes


def drawn(argument: str, description: str, axes: list[str], sizes: Sizes) -> Tensor | list[Tensor]:
    """A random argument of these sizes, of the kind that the docstring says."""
    shape = [math.prod(sizes[symbol] for symbol in axis) for axis in axes]
    if argument == "row":
        return torch.arange(*shape) % sizes["K"]
    if "int64" in description:
        return torch.zeros(shape, dtype=torch.int64)
    if "boolean" in description:
        return torch.ones(shape, dtype=torch.bool)
    tensor = torch.rand(shape).requires_grad_(argument.startswith("student"))
    return [tensor] if "for each level" in description else tensor


def growths(symbols: list[str]) -> Iterator[tuple[Sizes, Sizes]]:
    """Sizes before and after some symbols are doubled: one, two, or all, far larger than those that stay."""
    few = dict.fromkeys(symbols, 2)
    for number, one in enumerate(symbols):
        for other in symbols[number:]:
            large = 128 if one == other else 48
            before = {**few, one: large, other: large}
            yield before, {**before, one: 2 * large, other: 2 * large}
    if len(symbols) > 2:
        large = 32 if len(symbols) == 3 else 12
        yield dict.fromkeys(symbols, large), dict.fromkeys(symbols, 2 * large)
