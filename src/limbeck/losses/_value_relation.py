"""A loss between the relations of tokens within values, queries and keys (MiniLM)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._attention import (
    admitted_tokens,
    check_heads,
    compare_in_blocks,
    map_divergence,
    require_heads,
    split_heads,
)
from limbeck.losses._layer_map import LayerRule, Layers, mean_over_layers, pair_layers
from limbeck.losses._layer_pairs import LayerPairs
from limbeck.registry import register

__all__ = ["ValueRelation", "value_relation"]


def value_relation(
    student_value: Layers,
    teacher_value: Layers,
    student_query: Layers | None = None,
    teacher_query: Layers | None = None,
    student_key: Layers | None = None,
    teacher_key: Layers | None = None,
    attention_mask: Tensor | None = None,
    *,
    relation_heads: int,
) -> Tensor:
    """Divergence of the relations between tokens within values, and within queries and keys if given.

    (1 / H n) Σ_h Σ_i KL(R_h,i(teacher) ‖ R_h,i(student)) in nats, with R_h = softmax(V_h V_hᵀ / √d) over the n tokens
    that the mask admits, for H relation heads of size d: V is split into H equal parts, independently of the model's
    heads, so the widths and the numbers of heads may differ. With the model's number of heads and values only it is
    MiniLM's value relation. With queries and keys (MiniLMv2) it is the mean of the same for V, Q and K. Layers are
    averaged.

    Args:
        student_value: projections `[B, T, D]` of one layer, or a sequence of them; float16 and bfloat16 inputs are
            computed in float32.
        teacher_value: projections `[B, T, D']` of the paired layers.
        student_query: projections `[B, T, D]`; None leaves this relation out.
        teacher_query: projections `[B, T, D']`.
        student_key: projections `[B, T, D]`; None leaves this relation out.
        teacher_key: projections `[B, T, D']`.
        attention_mask: `[B, T]`, boolean, or integers that are 0 for padding; all tokens if None.
        relation_heads: H, which divides D and D'.

    Returns:
        One value per sample, `[B]`, in at least float32; 0 where no token is admitted. It does not change when the
        student's vectors of a head are rotated. Memory grows with H T² for each sample; beyond 2²³ elements, samples
        are
        computed in blocks.

    Raises:
        ArgumentError: if the shapes, heads or numbers of layers do not fit, or one side of a relation is missing.

    Knowledge: transformers.
    Cost: O(B T² H d) operations, O(B + H T²) memory, and blocks of at most 2²³ elements, for each relation
        and pair of layers, with heads of size d; with an attention mask, the projections once more.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2, 4), torch.tensor([[[2.0, 0.0], [0.0, 2.0]]])
        >>> value_relation(student, teacher, relation_heads=1), value_relation(-teacher, teacher, relation_heads=1)
        (tensor([0.4779]), tensor([0.]))

    Wang, Wei, Dong, Bao, Yang and Zhou, 2020, "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression
    of Pre-Trained Transformers", arXiv:2002.10957. Wang, Bao, Huang, Dong and Wei, 2021, "MiniLMv2: Multi-Head
    Self-Attention Relation Distillation for Compressing Pretrained Transformers", arXiv:2012.15828.
    """
    values = []
    for name, student_side, teacher_side in (
        ("value", student_value, teacher_value),
        ("query", student_query, teacher_query),
        ("key", student_key, teacher_key),
    ):
        if student_side is None and teacher_side is None:
            continue
        if student_side is None or teacher_side is None:
            raise ArgumentError(
                f"value_relation: student_{name} or teacher_{name} is missing; give both or none",
                code="missing",
                path=f"student_{name}",
            )
        for student, teacher in pair_layers("value_relation", student_side, teacher_side):
            sides = split_heads(
                "value_relation", (student,) * 2, (teacher,) * 2, attention_mask, relation_heads, relation_heads
            )
            values.append(compare_in_blocks(map_divergence, *sides))
    return mean_over_layers(values)


@register("loss", "value_relation")
class ValueRelation(nn.Module):
    """Module for `limbeck.functional.value_relation`, with the number of relation heads and a layer map.

    Values, queries and keys are the outputs of these projections of one attention layer or of a sequence of layers;
    `limbeck.core.attention_taps` lists the modules for Hugging Face models. Give only values for MiniLM's value
    relation (its other part is `attention_scores` with `on="maps"`), and queries and keys as well for MiniLMv2.

    Args:
        relation_heads: the number of equal parts of the features; it divides the widths of both models. In a recipe,
            null takes the number of heads if both models have the same.
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA of values, chosen by `prepare`), as in
            `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in the given layers; negative
            positions count from the end. The default is the last layers, as in both papers.

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
        check_heads("value_relation", "relation_heads", relation_heads)
        self.relation_heads = relation_heads
        self.pairs = LayerPairs("value_relation", layers)

    def prepare(self, samples: Sequence[Mapping[str, Any]], masks: Sequence[Tensor | None] | None = None) -> None:
        """Choose the layers, if the layer map is `auto`.

        Args:
            samples: for each batch, the arguments of `forward` by name.
            masks: for each batch, which rows count, `[B]`; all if None.
        """
        sides = ((sample["student_value"], sample["teacher_value"]) for sample in samples)
        self.pairs.choose((*pair, mask) for pair, mask in zip(sides, admitted_tokens(samples, masks), strict=True))

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
        return value_relation(
            student_value,
            teacher_value,
            student_query,
            teacher_query,
            student_key,
            teacher_key,
            attention_mask,
            relation_heads=require_heads("value_relation", "relation_heads", self.relation_heads),
        )

    def extra_repr(self) -> str:
        return f"relation_heads={self.relation_heads}"
