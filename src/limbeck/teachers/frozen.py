"""A trained model that is not trained further."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import nn

from limbeck.core import Address, Board, Outputs, Tapped
from limbeck.core.addresses import Inputs
from limbeck.registry import register

__all__ = ["Frozen"]


@register("teacher", "frozen")
class Frozen(nn.Module):
    """Runs a model in eval mode without gradients, and hides it from ``parameters()`` and ``state_dict()``.

    The model follows this module (and so the Distiller) to a device and dtype. Its parameters stop requiring grad.

    Args:
        model: the teacher; a `Tapped` keeps its own taps, keywords and name of the output if none are given here.
        taps: name -> path, or several, as in `Tapped`.
        inputs: the address that it is fed, or a mapping of its arguments to addresses, as in `Tapped`.
        call: keyword arguments of every call, as in `Tapped`.
        preprocess: a module that changes what the model is fed, such as `Resize`: for a teacher with another input size
            or normalization than the student's.
        differentiable: let taps and inputs carry gradients, although no weight does; for losses that differentiate the
            teacher with respect to its features.

    Recipe: ``models: {teacher: {use: resnet, width: 32, train: {epochs: 20}}}``.

    >>> teacher = Frozen(nn.Linear(3, 2))
    >>> sorted(teacher({"batch": {"inputs": torch.zeros(4, 3)}})), list(teacher.parameters())
    (['logits'], [])
    """

    def __init__(
        self,
        model: nn.Module,
        taps: Mapping[str, str | Sequence[str]] | None = None,
        *,
        inputs: Inputs = "batch.inputs",
        call: Mapping[str, Any] | None = None,
        preprocess: nn.Module | None = None,
        differentiable: bool = False,
    ) -> None:
        super().__init__()
        tapped = model if isinstance(model, Tapped) and not taps and not call else Tapped(model, taps, call=call)
        tapped.eval().requires_grad_(False).inputs = inputs
        if differentiable:
            tapped.differentiable_taps()
        preprocess = nn.Identity() if preprocess is None else preprocess.eval().requires_grad_(False)
        # In a tuple, nn.Module does not see it: no parameter, no buffer, no state, no train().
        self._hidden = (tapped, preprocess)
        self.differentiable = differentiable

    @property
    def model(self) -> Tapped:
        """The hidden model."""
        return self._hidden[0]

    @property
    def reads(self) -> tuple[Address, ...]:
        return self.model.input_addresses

    def forward(self, board: Board) -> Outputs:
        model = self.model
        if model.model.training:
            model.eval()
        with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
            outputs: Outputs = model(self._hidden[1](model.inputs_on(board)))
        return outputs

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        for hidden in self._hidden:
            hidden._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self
