"""The inputs, call arguments and taps of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from limbeck.core import Address, source_of, split_path
from limbeck.core.addresses import addresses_of, parameter_path
from limbeck.errors import RecipeError, suggest
from limbeck.models.network import network
from limbeck.recipes.options import construct

__all__ = ["ATTENTION", "AUTO", "IO_OPTIONS", "ModelIO", "check_taps", "inputs_in_models", "tap_path"]

AUTO = "auto"
ATTENTION = "attention"
# The options of a section for its model's taps, inputs and call arguments.
IO_OPTIONS = ("taps", "inputs", "call", "detach_inputs")


def check_taps(taps: Any, path: str) -> None:
    """Reject values that are no taps.

    Raises:
        RecipeError: with the place in the recipe.
    """
    if taps in (AUTO, ATTENTION):
        return
    if not isinstance(taps, Mapping):
        raise RecipeError(
            f"{path} is {taps!r}; write {AUTO}, {ATTENTION}, or {{NAME: path of a module}}",
            code="wrong_type",
            path=path,
        )
    for name, paths in taps.items():
        if not isinstance(paths, str) and not (isinstance(paths, list) and all(isinstance(one, str) for one in paths)):
            raise RecipeError(
                f"{path}.{name} is {paths!r}; write the path of a module, or a list of paths",
                code="wrong_type",
                path=f"{path}.{name}",
            )


@dataclass(frozen=True, kw_only=True)
class ModelIO:
    """What a model reads, and what is read of it.

    Args:
        taps: the paths of modules by the names of the taps; ``auto`` or ``attention`` until they are chosen.
        inputs: the address of its inputs; or a mapping of its arguments to addresses, which may be outputs of a model
            that trains together with it.
        call: further arguments of its call.
        detach_inputs: let no gradient flow to the inputs.
    """

    taps: Any = field(default_factory=dict)
    inputs: str | Mapping[str, str] = "batch.inputs"
    call: Mapping[str, Any] = field(default_factory=dict)
    detach_inputs: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The models whose outputs it reads."""
        return tuple(source for source in map(source_of, addresses_of(self.inputs)) if source != "batch")

    def arguments(self, model: nn.Module, path: str) -> dict[str, Any]:
        """The arguments of `Tapped` and `Frozen` for this model; ``path`` is its place in the recipe, for errors.

        Raises:
            RecipeError: if a path names no module, or the taps are not chosen yet.
        """
        if self.taps in (AUTO, ATTENTION):
            raise RecipeError(
                f"{path}.taps is {self.taps}, which is chosen when a run begins; name the modules here",
                code="unsupported",
                path=f"{path}.taps",
            )
        paths = {
            name: tap_path(model, given, f"{path}.taps.{name}")
            if isinstance(given, str)
            else [tap_path(model, one, f"{path}.taps.{name}") for one in given]
            for name, given in self.taps.items()
        }
        return {"taps": paths, "inputs": self.inputs, "call": self.call}


def tap_path(model: nn.Module, given: str, path: str) -> str:
    """A tap's path in a model, from one in its network.

    Raises:
        RecipeError: if the network has no such module.
    """
    net, outer = network(model)
    modules = dict(net.named_modules(remove_duplicate=False))
    module, what = construct(split_path, {"path": given, "modules": modules}, path=path, places={"path": path})
    inner = ".".join(filter(None, (outer, module)))
    return inner if what == "output" else f"{inner}:{what}"


def inputs_in_models(inputs: Mapping[str, Address], models: Mapping[str, nn.Module], path: str) -> dict[str, Address]:
    """The addresses of a term with those of parameters as paths in these models.

    Raises:
        RecipeError: if a network has no such parameter.
    """
    return {argument: _in_model(address, models, f"{path}.inputs.{argument}") for argument, address in inputs.items()}


def _in_model(address: Address, models: Mapping[str, nn.Module], path: str) -> Address:
    source, parameter = source_of(address), parameter_path(address)
    if parameter is None or source not in models:
        return address
    net, outer = network(models[source])
    known = [name for name, _ in net.named_parameters(remove_duplicate=False)]
    if parameter not in known:
        raise RecipeError.at(
            path, f"the model has no parameter {parameter!r}.{suggest(parameter, known)}", code="unknown_name"
        )
    return ".".join(filter(None, (source, "parameters", outer, parameter)))
