"""A model cut in two at the output of one of its modules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from limbeck.errors import ArgumentError, suggest

__all__ = ["rest", "trunk"]


def trunk(model: nn.Module, path: str) -> nn.Module:
    """A copy of the part of a model that its module at ``path`` closes, without all that comes later.

    The model has one input; optional arguments keep their defaults. What its forward decides by its mode, and functions
    such as ``F.dropout``, stay as they are in eval mode; modules keep their modes.

    Raises:
        ArgumentError: if there is no such module, it runs more than once or inside a module of torch, or the model's
            forward depends on values.
    """
    part, node = _traced(model, path)
    output = next(one for one in part.graph.nodes if one.op == "output")
    output.args = (node,)
    return _tidied(part)


def rest(model: nn.Module, path: str) -> nn.Module:
    """A copy of the part of a model that comes after its module at ``path``: from what that gives to the outputs.

    Raises:
        ArgumentError: as `trunk`; and if a later module reads something else from before.
    """
    part, node = _traced(model, path)
    given = [one for one in part.graph.nodes if one.op == "placeholder"]
    with part.graph.inserting_before(given[0]):
        features = part.graph.placeholder("features")
    node.replace_all_uses_with(features)
    part.graph.eliminate_dead_code()
    if any(one.users for one in given):
        raise ArgumentError(
            f"the layers after {path!r} also read what comes before it; cut the model further back",
            code="unsupported",
            path="path",
        )
    for one in given:
        part.graph.erase_node(one)
    return _tidied(part)


def _tidied(part: fx.GraphModule) -> nn.Module:
    part.graph.eliminate_dead_code()
    # A new one takes over what the graph names, and no module or buffer of the other part.
    return fx.GraphModule(part, part.graph)


class _Tracer(fx.Tracer):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def create_args_for_root(
        self,
        root_fn: Callable[..., Any],
        is_module: bool,
        concrete_args: dict[str, Any] | tuple[Any, ...] | None = None,
    ) -> tuple[Callable[..., Any], list[Any]]:
        # The images alone: a symbol in the place of **keywords could not be passed on.
        def forward(root: nn.Module, inputs: Any) -> Any:
            return root_fn(root, inputs)

        return super().create_args_for_root(forward, is_module, concrete_args)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name == self._path or super().is_leaf_module(m, module_qualified_name)


def _traced(model: nn.Module, path: str) -> tuple[fx.GraphModule, fx.Node]:
    modules = dict(model.named_modules())
    if not path or path not in modules:
        raise ArgumentError(
            f"the model has no module {path!r}.{suggest(path, modules)}", code="unknown_name", path="path"
        )
    model = copy.deepcopy(model)
    modes = {name: module.training for name, module in model.named_modules()}
    try:
        graph = _Tracer(path).trace(model.eval())
    except Exception as error:  # the model's own forward runs on symbols, and fails in whichever line cannot
        raise ArgumentError(
            f"{type(model).__name__} cannot be cut at {path!r}: its forward depends on values ({error}); "
            "cut the module in it that does not",
            code="unsupported",
            path="path",
        ) from error
    for name, module in model.named_modules():
        module.training = modes[name]
    part = fx.GraphModule(model, graph)
    nodes = [node for node in part.graph.nodes if node.op == "call_module" and node.target == path]
    if len(nodes) != 1:
        raise ArgumentError(
            f"{type(model).__name__} cannot be cut at {path!r}: it runs {len(nodes)} times as a step of its own; "
            "choose a module that runs once and stands outside the modules of torch",
            code="unsupported",
            path="path",
        )
    return part, nodes[0]
