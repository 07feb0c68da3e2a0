"""Losses between what tokens make of each other: attention, and the relations within queries, keys and values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._layer_maps import Layers, mean_over_layers, paired
from limbeck.functional._pairs import part, values_over_blocks
from limbeck.functional._precision import at_least_float32
from limbeck.functional._softening import divergence

__all__ = ["attention_scores", "check_heads", "check_on", "value_relation"]


def check_heads(operation: str, name: str, heads: int) -> None:
    """Refuse a number of heads below 1."""
    if heads < 1:
        raise ArgumentError(f"{operation}: {name} is {heads}, expected at least 1")


def check_on(operation: str, on: str) -> None:
    """Refuse what is not the name of a stage of attention."""
    if on not in ("scores", "maps"):
        raise ArgumentError(f"{operation}: on is {on!r}, expected 'scores' (before the softmax) or 'maps' (after it)")


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
    """Difference of the attention that tokens pay each other, averaged over heads and pairs of layers.

    With A_h = Q_h K_hᵀ / √d for each of H heads of size d, and n tokens that the mask admits:

    - on scores: (1 / H n²) Σ_h Σ_ij (A_h,ij(student) − A_h,ij(teacher))², as TinyBERT;
    - on maps: (1 / H n) Σ_h Σ_i KL(softmax(A_h,i(teacher)) ‖ softmax(A_h,i(student))) in nats, as MiniLM.

    Both i and j run over the admitted tokens alone. Where the numbers of heads differ, heads have no partners: then the
    means over the heads are compared, of scores or of maps (and H is 1). `value_relation` compares relations of any
    number of heads instead.

    Args:
        student_query: projections `[B, T, H d]` of one layer, heads side by side, or a sequence of them; float16 and
            bfloat16 are computed in float32.
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
    for layer in paired("attention_scores", student_query, student_key, teacher_query, teacher_key):
        student, teacher, mask = _both(
            "attention_scores", layer[:2], layer[2:], attention_mask, student_heads, teacher_heads
        )
        values.append(_over_samples(_of_scores if on == "scores" else _of_maps, student, teacher, mask))
    return mean_over_layers(values)


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
    """Divergence of the relations that tokens have within the values, and within queries and keys if given.

    (1 / H n) Σ_h Σ_i KL(R_h,i(teacher) ‖ R_h,i(student)) in nats, with R_h = softmax(V_h V_hᵀ / √d) over the n tokens
    that the mask admits, for H relation heads of size d: V is cut into H equal parts, whatever the model's heads, so
    neither width nor heads need be equal. With the model's heads and values alone it is MiniLM's value relation. With
    queries and keys (MiniLMv2) it is the mean of the same for V, Q and K. Layers are averaged.

    Args:
        student_value: projections `[B, T, D]` of one layer, or a sequence of them; float16 and bfloat16 are computed in
            float32.
        teacher_value: projections `[B, T, D']` of the paired layers.
        student_query: projections `[B, T, D]`; None leaves this relation out.
        teacher_query: projections `[B, T, D']`.
        student_key: projections `[B, T, D]`; None leaves this relation out.
        teacher_key: projections `[B, T, D']`.
        attention_mask: `[B, T]`, boolean, or integers that are 0 for padding; all tokens if None.
        relation_heads: H, which divides D and D'.

    Returns:
        One value per sample, `[B]`, in at least float32; 0 where no token is admitted. It does not change when the
        student's part of a head is rotated. Memory grows with H T² for each sample; beyond 2²³ elements, samples are
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
    for name, mine, theirs in (
        ("value", student_value, teacher_value),
        ("query", student_query, teacher_query),
        ("key", student_key, teacher_key),
    ):
        if mine is None and theirs is None:
            continue
        if mine is None or theirs is None:
            raise ArgumentError(f"value_relation: student_{name} or teacher_{name} is missing; give both or none")
        for student, teacher in paired("value_relation", mine, theirs):
            sides = _both(
                "value_relation", (student,) * 2, (teacher,) * 2, attention_mask, relation_heads, relation_heads
            )
            values.append(_over_samples(_of_maps, *sides))
    return mean_over_layers(values)


class _Heads(NamedTuple):
    """Queries and keys, both `[B, H, T, d]`, and 0 for padding."""

    query: Tensor
    key: Tensor

    def scores(self, start: int, stop: int) -> Tensor:
        products = part(self.query, start, stop) @ part(self.key, start, stop).mT
        return products.mul_(self.query.shape[3] ** -0.5)


def _both(
    operation: str,
    student: tuple[Tensor, ...],
    teacher: tuple[Tensor, ...],
    attention_mask: Tensor | None,
    student_heads: int,
    teacher_heads: int,
) -> tuple[_Heads, _Heads, Tensor | None]:
    for side, projections, heads in (("student", student, student_heads), ("teacher", teacher, teacher_heads)):
        check_heads(operation, f"the number of the {side}'s heads", heads)
        _check_projections(operation, side, projections, student[0], heads)
    rows, mask = student[0].shape[:2], None
    if attention_mask is None:
        pass
    elif attention_mask.shape != rows or attention_mask.is_floating_point():
        raise ArgumentError(
            f"{operation}: attention_mask is {attention_mask.dtype} of shape {shape(attention_mask)}, expected "
            f"booleans or integers of shape {list(rows)}, false or 0 for padding; read batch.inputs.attention_mask"
        )
    else:
        mask = attention_mask != 0
    return _heads(student, student_heads, mask), _heads(teacher, teacher_heads, mask), mask


def _check_projections(operation: str, side: str, projections: tuple[Tensor, ...], like: Tensor, heads: int) -> None:
    for projection in projections:
        if (
            projection.ndim != 3
            or projection.shape[:2] != like.shape[:2]
            or projection.shape != projections[0].shape
            or not projection.is_floating_point()
        ):
            raise ArgumentError(
                f"{operation}: the {side} has {projection.dtype} of shape {shape(projection)}, expected floating "
                f"projections [B, T, D] with B and T of {shape(like)}, and one D for queries and keys; tap the linear "
                f"layers of an attention without grouped queries"
            )
        if projection.shape[2] % heads:
            raise ArgumentError(
                f"{operation}: the {side}'s {projection.shape[2]} features do not divide by {heads} heads, expected a "
                f"multiple (its shape is {shape(projection)}); give the number in the model's configuration, or "
                f"relation heads that divide both widths"
            )


def _heads(projections: tuple[Tensor, ...], heads: int, mask: Tensor | None) -> _Heads:
    query, key = (_apart(projection, heads, mask) for projection in projections)
    return _Heads(query, key)


def _apart(projection: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    projection = at_least_float32(projection)
    if mask is not None:
        projection = projection.masked_fill(~mask[:, :, None], 0)
    return projection.view(*projection.shape[:2], heads, -1).transpose(1, 2)


def _over_samples(
    of_samples: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    student: _Heads,
    teacher: _Heads,
    mask: Tensor | None,
) -> Tensor:
    rows, heads, tokens = student.query.shape[:3]
    more_heads = max(heads, teacher.query.shape[1])

    def of_rows(start: int, stop: int) -> Tensor:
        tokens = None if mask is None else mask[start:stop]
        return of_samples(student.scores(start, stop), teacher.scores(start, stop), tokens)

    return values_over_blocks(of_rows, rows, more_heads * tokens**2)


def _of_scores(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    if student.shape[1] != teacher.shape[1]:
        student, teacher = student.mean(dim=1, keepdim=True), teacher.mean(dim=1, keepdim=True)
    # Scores of padding are 0 on both sides. The difference takes the place of the student's scores.
    squares = student.sub_(teacher).square().sum(dim=(1, 2, 3))
    return squares / (student.shape[1] * _tokens(mask, student) ** 2)


def _of_maps(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    padding = None if mask is None else ~mask[:, None, None, :]
    log_q, log_p = (_log_map(scores, padding) for scores in (student, teacher))
    if student.shape[1] != teacher.shape[1]:
        log_q, log_p = (
            log_map.logsumexp(dim=1, keepdim=True) - math.log(log_map.shape[1]) for log_map in (log_q, log_p)
        )
    # Queries of padding are 0, so their maps are uniform on both sides.
    sums = divergence(log_p, log_q).sum(dim=(1, 2))
    return sums / (log_q.shape[1] * _tokens(mask, log_q))


def _log_map(scores: Tensor, padding: Tensor | None) -> Tensor:
    if padding is not None:
        # Not −∞: where all is padding, no row of the softmax would be finite.
        scores = scores.masked_fill_(padding, torch.finfo(scores.dtype).min)
    return F.log_softmax(scores, dim=-1)


def _tokens(mask: Tensor | None, maps: Tensor) -> Tensor | int:
    if mask is None:
        return max(maps.shape[-1], 1)
    return mask.sum(dim=1, dtype=maps.dtype).clamp(min=1)
