"""A loss against the shortest straightforward code for its equation, on the same inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import record_function

import limbeck.losses  # noqa: F401  # registers the losses
from limbeck import registry
from loss_costs import straightforward
from loss_costs.cases import Case, logits

__all__ = ["FORWARD_ENDS", "LossComparison"]

FORWARD_ENDS = "forward ends"
_tolerance = 1e-5


class _Module(nn.Module):
    """The code as what torch calls a loss, so that both sides have the time of a module's call in them."""

    def __init__(self, code: Callable[..., Tensor]) -> None:
        super().__init__()
        self.code = code

    def forward(self, **values: Tensor) -> Tensor:
        return self.code(**values)


class LossComparison:
    """A loss and its straightforward code on the same inputs."""

    def __init__(self, case: Case, channels: int) -> None:
        torch.manual_seed(0)
        self.case, self.values = case, case.draw(channels)
        self.loss: nn.Module = registry.lookup("loss", case.name)(**case.options)
        if hasattr(self.loss, "prepare"):
            self.loss.prepare([self.values])
        if case.name == "crd":
            self._fill_the_bank()
        self.code = partial(getattr(straightforward, case.name), **self._told(case.options))

    def _told(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Of options or state, what the straightforward code has an argument for."""
        arguments = inspect.signature(getattr(straightforward, self.case.name)).parameters
        return {name: value for name, value in values.items() if name in arguments or "state" in arguments}

    def _fill_the_bank(self) -> None:
        rows = len(self.values["row"])
        for start in range(0, 4 * rows, rows):
            self.loss(**logits(self.values["student"].shape[1]), row=torch.arange(start, start + rows))
        self.loss.after_step(1)
        self.loss.eval()

    def to(self, dtype: torch.dtype) -> LossComparison:
        self.loss.to(dtype)
        for name, value in self.values.items():
            value = value.to(dtype) if value.is_floating_point() else value
            self.values[name] = value.detach().requires_grad_(name.startswith("student"))
        return self

    @property
    def sides(self) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
        """For the library and for the code, what computes the value and then the gradients."""
        learned = {name: value for name, value in self.loss.named_parameters() if value.requires_grad}
        state = {name.replace(".", "_"): value for name, value in self.loss.state_dict(keep_vars=True).items()}
        wanted = [*(value for value in self.values.values() if value.requires_grad), *learned.values()]
        calls = {"limbeck": self.loss, "code": _Module(partial(self.code, **self._told(state)))}

        def side(call: Callable[..., Tensor]) -> tuple[Tensor, ...]:
            value = call(**self.case.derived(self.values))
            with record_function(FORWARD_ENDS):
                pass
            return value.detach(), *torch.autograd.grad(value.sum(), wanted)

        return {name: partial(side, call) for name, call in calls.items()}

    def check(self) -> None:
        """Refuse to time what does not compute the same."""
        ours, theirs = (side() for side in self.to(torch.float64).sides.values())
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            apart = (a - b).abs().max() / b.abs().max().clamp(min=1e-30)
            if a.shape != b.shape or not apart < _tolerance:
                raise SystemExit(f"{self.case}: the code and the loss differ by {apart:.1e} in result {number}")
