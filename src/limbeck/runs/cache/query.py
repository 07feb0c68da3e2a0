"""Queries a frozen teacher of a recipe for the outputs that a cache stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core import Outputs, Teacher
from limbeck.core.addresses import map_tensors, resolve

__all__ = ["TeacherQuery"]


class TeacherQuery:
    """A teacher that is asked for views of rows: called with entries of a cache and views `[B]`, it gives its outputs
    `[B, …]`.

    Args:
        teacher: reads the inputs of the batch alone.
        query: gives some views of the rows of some entries, as a batch, and the index of each entry in the output.
        outputs: which of its outputs, by their addresses behind the teacher's name.
        device: where it computes.
        precision: in which it computes, as a training stage does.
    """

    def __init__(
        self,
        teacher: Teacher,
        query: Callable[[Tensor, Tensor], tuple[Outputs, Any]],
        outputs: Iterable[str],
        *,
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.teacher = teacher
        self.query = query
        self.outputs = tuple(outputs)
        self.device = device
        self.precision = precision

    def __call__(self, entries: Tensor, views: Tensor) -> dict[str, Any]:
        batch, places = self.query(entries, views)
        said = self.said(map_tensors(batch, Tensor.to, self.device))
        # An output that cannot be cached is reported later, by its name.
        return {n: value[places] if isinstance(value, Tensor) and value.ndim else value for n, value in said.items()}

    @torch.no_grad()
    def said(self, batch: Outputs) -> dict[str, Any]:
        """Its outputs for a batch; an output that is a tuple of tensors becomes one output per tensor."""
        half = self.precision != torch.float32
        with torch.autocast(self.device.type, dtype=self.precision) if half else nullcontext():
            found = self.teacher({"batch": batch})
        return dict(
            part for name in self.outputs for part in _parts(name, resolve({"teacher": found}, f"teacher.{name}"))
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile, the teacher is on its device and laid out as a live one is in training."""
        modules = [self.teacher] if isinstance(self.teacher, nn.Module) else []
        for module in modules:
            module.to(self.device).to(memory_format=torch.channels_last)
        try:
            yield
        finally:
            for module in modules:
                # It is measured later: like one that has taught nobody, to the bit.
                module.to(memory_format=torch.contiguous_format)


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, tuple | list):
        yield from ((f"{name}.{number}", part) for number, part in enumerate(value))
    else:
        yield name, value
