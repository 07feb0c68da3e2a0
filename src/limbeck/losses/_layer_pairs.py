"""Modules of losses between several layers: the chosen pairs, and a projection for each pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._cka import linear_ckas
from limbeck.losses._layer_map import LayerRule, Layers, as_layers, check_rule, layer_map
from limbeck.losses._lazy import LazyModule, channels_of
from limbeck.losses._projection import ChannelProjection

__all__ = ["LayerPairs", "LayerProjections", "LayerSample"]

LayerSample = tuple[Layers, Layers, Tensor | None]


class LayerPairs(nn.Module):
    """Chooses layers by `limbeck.functional.layer_map`; the choice of `auto` is part of the state.

    Args:
        operation: the loss, for errors.
        rule: a name or pairs of positions.
        skip_first: the number of tensors at the beginning of a sequence that named rules do not count.
    """

    chosen: Tensor

    def __init__(self, operation: str, rule: LayerRule, *, skip_first: int = 0) -> None:
        super().__init__()
        check_rule(operation, rule)
        self.operation = operation
        self.rule: LayerRule = rule if isinstance(rule, str) else tuple((student, teacher) for student, teacher in rule)
        self.skip_first = 0 if not isinstance(rule, str) else skip_first
        if rule == "auto":
            # The layers of the teacher, one for each layer of the student. A buffer rather than numbers, so that all
            # processes have the same, and a loaded state can change it in a graph that is compiled already.
            self.register_buffer("chosen", torch.zeros(0, dtype=torch.int64))

    @property
    def prepare_batches(self) -> int:
        """The number of batches for the choice."""
        return 8 if self.rule == "auto" else 1

    def choose(self, samples: Iterable[LayerSample]) -> None:
        """For `auto`, choose the map with the largest sum of linear CKA, averaged over the samples.

        Args:
            samples: for each batch, layers of the student, layers of the teacher, and which tokens count (all if None).
        """
        if self.rule != "auto":
            return
        with torch.no_grad():
            per_sample = [self._similarities(*sample) for sample in samples]
            similarities = torch.stack(per_sample).mean(dim=0)
        pairs = layer_map("auto", *similarities.shape, similarities=similarities.tolist())
        self.chosen = torch.tensor([teacher for _, teacher in pairs], device=self.chosen.device)

    def _similarities(self, student: Layers, teacher: Layers, mask: Tensor | None) -> Tensor:
        students, teachers = self.counted_layers(student), self.counted_layers(teacher)
        if mask is not None:
            tokens = students[0].shape[:-1]
            mask = mask.reshape(mask.shape + (1,) * (len(tokens) - mask.ndim)).expand(tokens).flatten()
        return linear_ckas(
            [layer.flatten(0, -2) for layer in students], [layer.flatten(0, -2) for layer in teachers], mask
        )

    def counted_layers(self, layers: Layers) -> list[Tensor]:
        """The layers that the rule counts."""
        listed = as_layers(layers)
        return listed if isinstance(layers, Tensor) else listed[self.skip_first :]

    def forward(self, student: Layers, teacher: Layers) -> tuple[list[Tensor], list[Tensor]]:
        if isinstance(student, Tensor) and isinstance(teacher, Tensor) and isinstance(self.rule, str):
            return [student], [teacher]
        students, teachers = self.counted_layers(student), self.counted_layers(teacher)
        if self.rule == "auto":
            return students, self._gathered(len(students), teachers)
        pairs = layer_map(self.rule, len(students), len(teachers))
        return [students[layer] for layer, _ in pairs], [teachers[layer] for _, layer in pairs]

    def _gathered(self, students: int, teachers: list[Tensor]) -> list[Tensor]:
        if len(self.chosen) != students:
            raise ArgumentError(
                f"{self.operation}: the layers of the teacher are chosen for {len(self.chosen)} of the student, which "
                f"gives {students}; call Distiller.prepare with a batch before the first step",
                code="not_ready",
            )
        return list(torch.stack(teachers).index_select(0, self.chosen).unbind())

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        chosen = state_dict.get(f"{prefix}chosen")
        if self.rule == "auto" and chosen is not None and not len(self.chosen):
            self.chosen = torch.zeros_like(chosen, device=self.chosen.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        return f"layers={self.rule!r}"


class LayerProjections(LazyModule):
    """A learned projection of the student's states for each pair of layers whose widths differ.

    Args:
        operation: the loss, for errors.
    """

    def __init__(self, operation: str) -> None:
        super().__init__()
        self.operation = operation

    def build(self, channels: Sequence[int]) -> None:
        widths = zip(channels[0::2], channels[1::2], strict=True)
        self.projections = nn.ModuleList(
            nn.Identity() if student == teacher else ChannelProjection(student, teacher, operation=self.operation)
            for student, teacher in widths
        )

    def prepare(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> None:
        """Build the projections if any widths differ, or check the widths."""
        if self.is_sized or not _same_widths(students, teachers):
            self.size([channels_of(layer) for pair in zip(students, teachers, strict=True) for layer in pair])

    def forward(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> list[Tensor]:
        if not self.is_sized and _same_widths(students, teachers):
            return list(students)
        if not self.is_sized:
            shapes = [(list(s.shape), list(t.shape)) for s, t in zip(students, teachers, strict=True)]
            raise ArgumentError(
                f"{self.operation}: pairs of layers have shapes {shapes}, expected equal widths where there is no "
                f"projection, and its size is not known yet; call Distiller.prepare with a batch before the first step",
                code="not_ready",
            )
        if len(students) != len(self.projections):
            raise ArgumentError(
                f"{self.operation}: {len(students)} pairs of layers are given, but it is sized for "
                f"{len(self.projections)}; give the layers that prepare has seen",
                code="mismatch",
            )
        return [projection(layer) for projection, layer in zip(self.projections, students, strict=True)]


def _same_widths(students: Sequence[Tensor], teachers: Sequence[Tensor]) -> bool:
    return all(student.shape[-1] == teacher.shape[-1] for student, teacher in zip(students, teachers, strict=True))
