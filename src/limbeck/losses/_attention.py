"""Losses between attention and between relations of tokens, as modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from limbeck import functional
from limbeck.errors import ArgumentError
from limbeck.functional._attention import check_heads, check_on
from limbeck.functional._layer_maps import LayerRule, Layers, as_layers
from limbeck.losses._layers import LayerPairs
from limbeck.registry import register

__all__ = ["AttentionScores", "ValueRelation"]


@register("loss", "attention_scores")
class AttentionScores(nn.Module):
    """Keeps the numbers of heads and a layer map for `limbeck.functional.attention_scores`.

    Queries and keys are the outputs of the linear layers that an attention has for them, of one layer or a sequence of
    them; `limbeck.core.attention_taps` names these for models of Hugging Face.

    Args:
        student_heads: the student's number of heads; in a recipe, null for that of the model.
        teacher_heads: the teacher's number of heads, likewise.
        on: `scores` before the softmax, or `maps` after it.
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA of queries and keys, chosen by
            `prepare`), as in `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in what is given,
            from 0 or, if negative, from the end.

    Raises:
        ArgumentError: if a setting is out of range.

    Example:
        >>> import torch
        >>> loss = AttentionScores(student_heads=2, teacher_heads=4, on="maps")
        >>> student, teacher = [torch.zeros(3, 5, 6)] * 2, [torch.ones(3, 5, 8)] * 4
        >>> loss(student, student, teacher, teacher, attention_mask=torch.ones(3, 5, dtype=torch.int64))
        tensor([0., 0., 0.])
    """

    def __init__(
        self,
        *,
        student_heads: int | None = None,
        teacher_heads: int | None = None,
        on: Literal["scores", "maps"] = "scores",
        layers: LayerRule = "uniform",
    ) -> None:
        super().__init__()
        _check_heads("attention_scores", "student_heads", student_heads)
        _check_heads("attention_scores", "teacher_heads", teacher_heads)
        check_on("attention_scores", on)
        self.student_heads = student_heads
        self.teacher_heads = teacher_heads
        self.on = on
        self.pairs = LayerPairs("attention_scores", layers)

    def prepare(self, samples: Sequence[Mapping[str, Any]], masks: Sequence[Tensor | None] | None = None) -> None:
        """Choose the layers, if the layer map is `auto`.

        Args:
            samples: for each batch, the arguments of `forward` by name.
            masks: for each batch, which rows count, `[B]`; all if None.
        """
        sides = ((_side_by_side(sample, "student"), _side_by_side(sample, "teacher")) for sample in samples)
        self.pairs.choose((*pair, mask) for pair, mask in zip(sides, _admitted(samples, masks), strict=True))

    def forward(
        self,
        student_query: Layers,
        student_key: Layers,
        teacher_query: Layers,
        teacher_key: Layers,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        student_query, teacher_query = self.pairs(student_query, teacher_query)
        student_key, teacher_key = self.pairs(student_key, teacher_key)
        return functional.attention_scores(
            student_query,
            student_key,
            teacher_query,
            teacher_key,
            attention_mask,
            student_heads=_known("attention_scores", "student_heads", self.student_heads),
            teacher_heads=_known("attention_scores", "teacher_heads", self.teacher_heads),
            on=self.on,
        )

    def extra_repr(self) -> str:
        return f"student_heads={self.student_heads}, teacher_heads={self.teacher_heads}, on={self.on!r}"


@register("loss", "value_relation")
class ValueRelation(nn.Module):
    """Keeps the number of relation heads and a layer map for `limbeck.functional.value_relation`.

    Values, queries and keys are the outputs of the linear layers that an attention has for them, of one layer or a
    sequence of them; `limbeck.core.attention_taps` names these for models of Hugging Face. Give values alone for
    MiniLM's value relation (its other part is `attention_scores` with `on="maps"`), and queries and keys too for
    MiniLMv2.

    Args:
        relation_heads: into how many equal parts the features are cut; it divides the widths of both models. In a
            recipe, null for the number of heads that both have.
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA of values, chosen by `prepare`), as in
            `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in what is given, from 0 or, if
            negative, from the end. The last layers by default, as in both papers.

    Raises:
        ArgumentError: if a setting is out of range.

    Example:
        >>> import torch
        >>> student, teacher = [torch.zeros(3, 5, 6)] * 2, [torch.ones(3, 5, 8)] * 4
        >>> ValueRelation(relation_heads=2)(student, teacher)
        tensor([0., 0., 0.])
    """

    def __init__(self, *, relation_heads: int | None = None, layers: LayerRule = ((-1, -1),)) -> None:
        super().__init__()
        _check_heads("value_relation", "relation_heads", relation_heads)
        self.relation_heads = relation_heads
        self.pairs = LayerPairs("value_relation", layers)

    def prepare(self, samples: Sequence[Mapping[str, Any]], masks: Sequence[Tensor | None] | None = None) -> None:
        """Choose the layers, if the layer map is `auto`.

        Args:
            samples: for each batch, the arguments of `forward` by name.
            masks: for each batch, which rows count, `[B]`; all if None.
        """
        sides = ((sample["student_value"], sample["teacher_value"]) for sample in samples)
        self.pairs.choose((*pair, mask) for pair, mask in zip(sides, _admitted(samples, masks), strict=True))

    def forward(
        self,
        student_value: Layers,
        teacher_value: Layers,
        student_query: Layers | None = None,
        teacher_query: Layers | None = None,
        student_key: Layers | None = None,
        teacher_key: Layers | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        student_value, teacher_value = self.pairs(student_value, teacher_value)
        if student_query is not None and teacher_query is not None:
            student_query, teacher_query = self.pairs(student_query, teacher_query)
        if student_key is not None and teacher_key is not None:
            student_key, teacher_key = self.pairs(student_key, teacher_key)
        return functional.value_relation(
            student_value,
            teacher_value,
            student_query,
            teacher_query,
            student_key,
            teacher_key,
            attention_mask,
            relation_heads=_known("value_relation", "relation_heads", self.relation_heads),
        )

    def extra_repr(self) -> str:
        return f"relation_heads={self.relation_heads}"


def _check_heads(operation: str, name: str, heads: int | None) -> None:
    if heads is not None:
        check_heads(operation, name, heads)


def _known(operation: str, name: str, heads: int | None) -> int:
    if heads is None:
        raise ArgumentError(f"{operation}: {name} is None; give the number, which only a recipe takes from the model")
    return heads


def _side_by_side(sample: Mapping[str, Any], side: str) -> list[Tensor]:
    queries, keys = as_layers(sample[f"{side}_query"]), as_layers(sample[f"{side}_key"])
    return [torch.cat(layer, dim=-1) for layer in zip(queries, keys, strict=True)]


def _admitted(samples: Sequence[Mapping[str, Any]], masks: Sequence[Tensor | None] | None) -> list[Tensor | None]:
    """Which tokens count: those of the rows that count, without padding."""
    admitted = []
    for sample, rows in zip(samples, masks or [None] * len(samples), strict=True):
        padded = sample.get("attention_mask")
        tokens = None if padded is None else padded != 0
        admitted.append(rows if tokens is None else tokens if rows is None else tokens & rows[:, None])
    return admitted
