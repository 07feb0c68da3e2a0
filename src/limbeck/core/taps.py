"""A model that also returns named intermediates."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core._paths import split_path
from limbeck.core.addresses import (
    Address,
    Board,
    Inputs,
    Outputs,
    addresses_of,
    check_name,
    map_tensors,
    resolve_inputs,
    tensors,
)
from limbeck.core.calling import call_model
from limbeck.errors import AddressError, ArgumentError, suggest

__all__ = ["Tapped"]


class _Recorder:
    """What the taps of one forward have written. Shared by a `Tapped` and its hooks, and copied together with them."""

    def __init__(self) -> None:
        self.active = False
        self.grad = False
        self.leaf: Tensor | None = None
        self.values: dict[str, Any] = {}
        self.versions: dict[str, tuple[int, ...]] = {}


class _Tap:
    """A hook of one module. An object rather than a closure: a deep copy or a pickle of the model takes it along.

    Its name is that of the tap; where the tap names several modules, with a number: ``query.0``.
    """

    def __init__(self, name: str, path: str, what: str, recorder: _Recorder) -> None:
        self.name = name
        self.path = path
        self.what = what
        self.recorder = recorder

    def take_output(self, module: nn.Module, args: Any, output: Any) -> Any:
        recorder = self.recorder
        # Activation checkpointing runs the module again in backward: only the forward of the owner may write.
        if not recorder.active:
            return None
        if recorder.leaf is not None:
            output = _grown(output, recorder.leaf)
        elif recorder.grad and _lacks_grad(output) and _can_train(module):
            raise AddressError(self._without_grad(), code="unsupported", path=self.name)
        self._write(output)
        return output

    def take_input(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recorder = self.recorder
        if not recorder.active:
            return None
        given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        place = next((place for place, value in given.items() if isinstance(value, Tensor)), None)
        if place is None:
            raise AddressError(
                f"tap {self.name!r}: module {self.path!r} was called without a tensor; tap its output",
                code="missing",
                path=self.name,
            )
        if recorder.leaf is not None:
            given[place] = _grown(given[place], recorder.leaf)
        elif recorder.grad and not torch.is_grad_enabled() and _lacks_grad(given[place]):
            raise AddressError(self._without_grad(), code="unsupported", path=self.name)
        self._write(given[place])
        return tuple(given[i] for i in range(len(args))), {name: given[name] for name in kwargs}

    def _write(self, value: Any) -> None:
        recorder = self.recorder
        if self.name in recorder.values:
            raise AddressError(
                f"tap {self.name!r}: module {self.path!r} ran twice in one forward; tap a module that runs once",
                code="unsupported",
                path=self.name,
            )
        recorder.values[self.name] = value
        recorder.versions[self.name] = _versions(value)

    def _without_grad(self) -> str:
        return (
            f"tap {self.name!r}: the {self.what} of {self.path!r} has no grad inside a trainable model, as reentrant "
            "activation checkpointing leaves it; use checkpoint(..., use_reentrant=False), or no no_grad there"
        )


class Tapped(nn.Module):
    """A model, and taps that name what passes through its modules.

    ``forward`` returns a dict: the model's own outputs by name (a single tensor gets the name ``output``), then one
    entry for each tap. Hooks are installed here, once, and write only while this forward runs; nothing is kept.
    What a model returns by itself needs no tap: ``call={"output_hidden_states": True}`` and the address
    ``student.hidden_states.3`` (a Hugging Face model must run once, as in `Distiller.prepare`, before it is compiled
    with that). Nor does a parameter: ``student.parameters.<path>``.

    Args:
        model: any module that returns a tensor or a mapping of names, such as a Hugging Face model. It is called with
            ``inputs``, or with ``**inputs`` if they are a mapping.
        taps: name of the tap -> path of a module, as in ``model.named_modules()``, for its output; or the path with
            ``:input`` behind it for its input, which is the first tensor that it is called with, by position before
            keyword. A sequence of paths gives a tuple, in this order: ``student.query.1`` is its second.
        inputs: the address that a `Distiller` feeds to this model; or, for a model that reads several, such as the
            discriminator of a generator, a mapping of its arguments to addresses.
        call: keyword arguments of every call, besides the inputs and before those of the same name.
        output: the name of the output of a model that returns a single tensor.
        detach_inputs: let no gradient flow to the inputs, which may be outputs of other students.

    Raises:
        ArgumentError: if a path names no module, a name cannot stand in an address, or the model takes no such keyword.
        AddressError: in forward, if a tapped module did not run, ran twice, lost its gradient, or if what it gave was
            changed in place afterwards.

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> outputs = Tapped(model, {"hidden": "1", "before": "1:input", "both": ["0", "1"]})(torch.zeros(5, 4))
    >>> list(outputs), tuple(outputs["hidden"].shape), len(outputs["both"]), outputs["before"] is outputs["both"][0]
    (['logits', 'hidden', 'before', 'both'], (5, 3), 2, True)
    """

    _leaf: nn.Parameter | None

    def __init__(
        self,
        model: nn.Module,
        taps: Mapping[str, str | Sequence[str]] | None = None,
        *,
        inputs: Inputs = "batch.inputs",
        call: Mapping[str, Any] | None = None,
        output: str = "logits",
        detach_inputs: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.taps = dict(taps or {})
        self.inputs: Inputs = inputs if isinstance(inputs, str) else dict(inputs)
        self.call = dict(call or {})
        self.output = check_name("output", output)
        self.detach_inputs = detach_inputs
        if not self.inputs:
            raise ArgumentError(
                "inputs name no address; give one, or a mapping of arguments to addresses",
                code="missing",
                path="inputs",
            )
        _check_call(model, self.call)
        self._recorder = _Recorder()
        self.register_parameter("_leaf", None)
        modules = dict(model.named_modules(remove_duplicate=False))
        self._taps = {name: self._installed(name, paths, modules) for name, paths in self.taps.items()}

    def _installed(
        self, name: str, paths: str | Sequence[str], modules: Mapping[str, nn.Module]
    ) -> _Tap | tuple[_Tap, ...]:
        check_name("tap", name)
        if name == "parameters":
            raise ArgumentError(
                "tap 'parameters': an address with this name reads the model's parameters; choose another",
                code="in_use",
                path="taps",
            )
        if isinstance(paths, str):
            return self._hooked(name, paths, modules)
        if not paths:
            raise ArgumentError(
                f"tap {name!r} names no module; give it a path, or several", code="missing", path=f"taps.{name}"
            )
        return tuple(self._hooked(f"{name}.{number}", path, modules) for number, path in enumerate(paths))

    def _hooked(self, name: str, path: str, modules: Mapping[str, nn.Module]) -> _Tap:
        try:
            module, what = split_path(path, modules)
        except ArgumentError as error:
            raise ArgumentError(f"tap {name!r}: {error}", code=error.code, path=f"taps.{name}") from error
        tap = _Tap(name, module, what, self._recorder)
        if what == "input":
            modules[module].register_forward_pre_hook(tap.take_input, with_kwargs=True)
        else:
            modules[module].register_forward_hook(tap.take_output)
        return tap

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Outputs:
        recorder = self._recorder
        recorder.active, recorder.grad, recorder.leaf = True, torch.is_grad_enabled(), self._leaf
        try:
            result = call_model(self.model, inputs, **self.call)
            values, versions = recorder.values, recorder.versions
        finally:
            recorder.active, recorder.leaf, recorder.values, recorder.versions = False, None, {}, {}
        outputs = _named(result, self.output)
        for name, tap in self._taps.items():
            if name in outputs:
                raise AddressError(
                    f"tap {name!r} has the name of one of the model's outputs; choose another name",
                    code="in_use",
                    path=name,
                )
            if isinstance(tap, tuple):
                outputs[name] = tuple(_taken(one, values, versions) for one in tap)
            else:
                outputs[name] = _taken(tap, values, versions)
        return outputs

    @property
    def input_addresses(self) -> tuple[Address, ...]:
        """Every address that is fed to this model."""
        return addresses_of(self.inputs)

    def inputs_on(self, board: Board) -> Any:
        """What this model is fed on a board: a tensor or mapping, or a mapping of its arguments."""
        inputs = resolve_inputs(board, self.inputs)
        return map_tensors(inputs, Tensor.detach) if self.detach_inputs else inputs

    def differentiable_taps(self) -> None:
        """Let every tap require grad although no weight does: what a frozen teacher of gradients needs."""
        # A parameter, so that it follows to a device; of no value, and made here: compile loses a leaf made in forward.
        self._leaf = nn.Parameter(torch.zeros(()))


def _check_call(model: nn.Module, call: Mapping[str, Any]) -> None:
    parameters = inspect.signature(model.forward).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in call:
        if name not in parameters:
            raise ArgumentError.at(
                "call", f"{type(model).__name__} takes no {name!r}.{suggest(name, parameters)}", code="unknown_name"
            )


def _taken(tap: _Tap, values: Mapping[str, Any], versions: Mapping[str, tuple[int, ...]]) -> Any:
    name = tap.name
    if name not in values:
        raise AddressError(
            f"tap {name!r}: module {tap.path!r} did not run in this forward; tap one that does",
            code="missing",
            path=name,
        )
    if _versions(values[name]) != versions[name]:
        raise AddressError(
            f"tap {name!r}: something later changed the {tap.what} of {tap.path!r} in place; set inplace=False there",
            code="unsupported",
            path=name,
        )
    return values[name]


def _named(result: Any, output: str) -> dict[str, Any]:
    if isinstance(result, Tensor):
        return {output: result}
    if isinstance(result, Mapping):
        return dict(result)
    raise ArgumentError(
        f"the model returned a {type(result).__name__}; return a tensor (it becomes {output!r}) or a mapping of names",
        code="wrong_type",
    )


def _lacks_grad(value: Any) -> bool:
    return any(tensor.is_floating_point() and not tensor.requires_grad for tensor in tensors(value))


def _can_train(module: nn.Module) -> bool:
    return not torch.is_grad_enabled() or any(p.requires_grad for p in module.parameters())


def _grown(value: Any, leaf: Tensor) -> Any:
    """The same values, with a graph that starts at the leaf, which is 0."""
    if isinstance(value, MutableMapping):
        # Of its own type: who called the module may take it apart by attributes.
        grown = copy.copy(value)
        for key, part in value.items():
            grown[key] = map_tensors(part, _grown_from, leaf)
        return grown
    return map_tensors(value, _grown_from, leaf)


def _grown_from(tensor: Tensor, leaf: Tensor) -> Tensor:
    if not tensor.is_floating_point() or tensor.requires_grad:
        return tensor
    return tensor + leaf.to(tensor.dtype)


def _versions(output: Any) -> tuple[int, ...]:
    if torch.compiler.is_compiling():
        return ()
    if isinstance(output, Tensor):
        # Nearly every tap, in every step: not by way of a generator.
        return () if output.is_inference() else (output._version,)
    return tuple(tensor._version for tensor in tensors(output) if not tensor.is_inference())
