"""The inputs, call arguments and taps of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from limbeck.core import Address, source_of, split_path
from limbeck.core.addresses import parameter_path
from limbeck.errors import RecipeError, suggest
from limbeck.models.network import network
from limbeck.recipes.options import construct

__all__ = ["ATTENTION", "AUTO", "IO_OPTIONS", "check_taps", "reading", "tap_path", "term_in_models"]

AUTO = "auto"
ATTENTION = "attention"
# The options of a section for its model's taps, inputs and call arguments.
IO_OPTIONS = ("taps", "inputs", "call")


def check_taps(taps: Any, path: str) -> None:
    """Reject values that are no taps.

    Raises:
        RecipeError: with the place in the recipe.
    """
    if taps in (AUTO, ATTENTION):
        return
    if not isinstance(taps, Mapping):
        raise RecipeError(f"{path} is {taps!r}; write {AUTO}, {ATTENTION}, or {{NAME: path of a module}}")
    for name, paths in taps.items():
        if not isinstance(paths, str) and not (isinstance(paths, list) and all(isinstance(one, str) for one in paths)):
            raise RecipeError(f"{path}.{name} is {paths!r}; write the path of a module, or a list of paths")


def reading(model: nn.Module, spec: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The arguments of `Tapped` and `Frozen` from a model's section.

    Raises:
        RecipeError: if a path names no module, or the taps are not chosen yet.
    """
    taps = spec["taps"]
    if taps in (AUTO, ATTENTION):
        raise RecipeError(f"{path}.taps is {taps}, which is chosen when a run begins; name the modules here")
    paths = {
        name: tap_path(model, given, f"{path}.taps.{name}")
        if isinstance(given, str)
        else [tap_path(model, one, f"{path}.taps.{name}") for one in given]
        for name, given in taps.items()
    }
    return {"taps": paths, "inputs": spec["inputs"], "call": spec["call"]}


def tap_path(model: nn.Module, given: str, path: str) -> str:
    """A tap's path in a model, from one in its network.

    Raises:
        RecipeError: if the network has no such module.
    """
    net, outer = network(model)
    modules = dict(net.named_modules(remove_duplicate=False))
    module, what = construct(split_path, {"path": given, "modules": modules}, path=path)
    inner = ".".join(filter(None, (outer, module)))
    return inner if what == "output" else f"{inner}:{what}"


def term_in_models(spec: Mapping[str, Any], models: Mapping[str, nn.Module], path: str) -> dict[str, Any]:
    """A resolved term with addresses of parameters as paths in these models.

    Raises:
        RecipeError: if a network has no such parameter.
    """
    inputs = {
        argument: _in_model(address, models, f"{path}.inputs.{argument}")
        for argument, address in (spec["inputs"] or {}).items()
    }
    return {**spec, "inputs": inputs}


def _in_model(address: Address, models: Mapping[str, nn.Module], path: str) -> Address:
    source, parameter = source_of(address), parameter_path(address)
    if parameter is None or source not in models:
        return address
    net, outer = network(models[source])
    known = [name for name, _ in net.named_parameters(remove_duplicate=False)]
    if parameter not in known:
        raise RecipeError(f"{path}: the model has no parameter {parameter!r}.{suggest(parameter, known)}")
    return ".".join(filter(None, (source, "parameters", outer, parameter)))
