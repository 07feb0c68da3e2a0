"""A loss between the attention scores or attention maps of student and teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._attention import (
    admitted_tokens,
    check_heads,
    compare_in_blocks,
    map_divergence,
    require_heads,
    split_heads,
    token_counts,
)
from limbeck.losses._layer_map import LayerRule, Layers, as_layers, mean_over_layers, pair_layers
from limbeck.losses._layer_pairs import LayerPairs
from limbeck.registry import register

__all__ = ["AttentionScores", "attention_scores", "check_on"]


def check_on(operation: str, on: str) -> None:
    """Reject anything but the two stages of attention."""
    if on not in ("scores", "maps"):
        raise ArgumentError(
            f"{operation}: on is {on!r}, expected 'scores' (before the softmax) or 'maps' (after it)", path="on"
        )


def attention_scores(
    student_query: Layers,
    student_key: Layers,
    teacher_query: Layers,
    teacher_key: Layers,
    attention_mask: Tensor | None = None,
    *,
    student_heads: int,
    teacher_heads: int,
    on: Literal["scores", "maps"] = "scores",
) -> Tensor:
    """Difference of the attention between tokens, averaged over heads and pairs of layers.

    With A_h = Q_h K_hᵀ / √d for each of H heads of size d, and n tokens that the mask admits:

    - on scores: (1 / H n²) Σ_h Σ_ij (A_h,ij(student) − A_h,ij(teacher))², as in TinyBERT;
    - on maps: (1 / H n) Σ_h Σ_i KL(softmax(A_h,i(teacher)) ‖ softmax(A_h,i(student))) in nats, as in MiniLM.

    Both i and j run over the admitted tokens only. Where the numbers of heads differ, heads cannot be paired: the means
    of the scores or maps over the heads are compared instead (and H is 1). `value_relation` compares models with any
    numbers of heads.

    Args:
        student_query: projections `[B, T, H d]` of one layer, heads side by side, or a sequence of them; float16 and
            bfloat16 inputs are computed in float32.
        student_key: projections `[B, T, H d]`.
        teacher_query: projections `[B, T, …]` of the paired layers.
        teacher_key: projections `[B, T, …]`.
        attention_mask: `[B, T]`, boolean, or integers that are 0 for padding; all tokens if None.
        student_heads: the student's number of heads.
        teacher_heads: the teacher's number of heads.
        on: `scores` before the softmax, or `maps` after it.

    Returns:
        One value per sample, `[B]`, in at least float32; 0 where no token is admitted. Memory grows with H T² for each
        sample; beyond 2²³ elements, samples are computed in blocks.

    Raises:
        ArgumentError: if the shapes, heads or numbers of layers do not fit.

    Knowledge: transformers.
    Cost: O(B T² H d) operations, O(B + H T²) memory, and blocks of at most 2²³ elements, for each pair of
        layers; with an attention mask, the projections once more.

    Example:
        >>> import torch
        >>> query, key = torch.tensor([[[2.0], [0.0]]]), torch.tensor([[[1.0], [0.0]]])
        >>> attention_scores(query, key, 0 * query, key, student_heads=1, teacher_heads=1)
        tensor([1.])
        >>> attention_scores(query, key, 0 * query, key, student_heads=1, teacher_heads=1, on="maps")
        tensor([0.2169])

    Jiao, Yin, Shang, Jiang, Chen, Li, Wang and Liu, 2020, "TinyBERT: Distilling BERT for Natural Language
    Understanding", arXiv:1909.10351. Wang, Wei, Dong, Bao, Yang and Zhou, 2020, "MiniLM: Deep Self-Attention
    Distillation for Task-Agnostic Compression of Pre-Trained Transformers", arXiv:2002.10957.
    """
    check_on("attention_scores", on)
    values = []
    for layer in pair_layers("attention_scores", student_query, student_key, teacher_query, teacher_key):
        student, teacher, mask = split_heads(
            "attention_scores", layer[:2], layer[2:], attention_mask, student_heads, teacher_heads
        )
        values.append(
            compare_in_blocks(_score_difference if on == "scores" else map_divergence, student, teacher, mask)
        )
    return mean_over_layers(values)


def _score_difference(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    if student.shape[1] != teacher.shape[1]:
        student, teacher = student.mean(dim=1, keepdim=True), teacher.mean(dim=1, keepdim=True)
    # Scores of padding are 0 on both sides. The difference is written over the student's scores to save memory.
    squares = student.sub_(teacher).square().sum(dim=(1, 2, 3))
    return squares / (student.shape[1] * token_counts(mask, student) ** 2)


@register("loss", "attention_scores")
class AttentionScores(nn.Module):
    """Module for `limbeck.functional.attention_scores`, with the numbers of heads and a layer map.

    Queries and keys are the outputs of the query and key projections of one attention layer or of a sequence of layers;
    `limbeck.core.attention_taps` lists these modules for Hugging Face models.

    Args:
        student_heads: the student's number of heads; in a recipe, null takes it from the model.
        teacher_heads: the teacher's number of heads, likewise.
        on: `scores` before the softmax, or `maps` after it.
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA of queries and keys, chosen by
            `prepare`), as in `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in the given
            layers; negative positions count from the end.

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
        check_heads("attention_scores", "student_heads", student_heads)
        check_heads("attention_scores", "teacher_heads", teacher_heads)
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
        self.pairs.choose((*pair, mask) for pair, mask in zip(sides, admitted_tokens(samples, masks), strict=True))

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
        return attention_scores(
            student_query,
            student_key,
            teacher_query,
            teacher_key,
            attention_mask,
            student_heads=require_heads("attention_scores", "student_heads", self.student_heads),
            teacher_heads=require_heads("attention_scores", "teacher_heads", self.teacher_heads),
            on=self.on,
        )

    def extra_repr(self) -> str:
        return f"student_heads={self.student_heads}, teacher_heads={self.teacher_heads}, on={self.on!r}"


def _side_by_side(sample: Mapping[str, Any], side: str) -> list[Tensor]:
    queries, keys = as_layers(sample[f"{side}_query"]), as_layers(sample[f"{side}_key"])
    return [torch.cat(layer, dim=-1) for layer in zip(queries, keys, strict=True)]
