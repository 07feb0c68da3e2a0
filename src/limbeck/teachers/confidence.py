"""A teacher with its confidence in each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.core import Address, Board, Outputs, Teacher
from limbeck.errors import ArgumentError
from limbeck.functional import SparseLogits
from limbeck.registry import register
from limbeck.teachers._members import logits_in
from limbeck.teachers.map_classes import known_by

__all__ = ["Confidence"]


@register("teacher", "confidence")
class Confidence(nn.Module):
    r"""A teacher's outputs, its confidence in each row, and whether that reaches a threshold.

    .. math:: \text{confidence}_i = \max_c \mathrm{softmax}(z_i)_c, \qquad
              \text{confident}_i = [\text{confidence}_i \ge \tau]

    Both are made for a term's ``scale``: ``scale="teacher.confident"`` leaves unsure rows out of a sum that is still
    divided by all rows, as in FixMatch; ``scale="teacher.confidence"`` weighs each row.

    Args:
        teacher: gives ``logits`` ``[*, C]``, or `SparseLogits` that list the largest classes and hold the mass of the
            others, as the codec ``topk`` gives them at temperature 1.
        threshold: τ, a probability.

    Raises:
        ArgumentError: if the threshold is no probability, the teacher gives something called ``confidence`` or
            ``confident`` itself, or sparse logits that do not determine a confidence.

    Recipe: ``models: {teacher: {use: resnet, confidence: 0.9}}``.

    Source: Sohn, Berthelot, Li, Zhang, Carlini, Cubuk, Kurakin, Zhang & Raffel 2020, FixMatch: Simplifying
    Semi-Supervised Learning with Consistency and Confidence, arXiv:2001.07685 (threshold 0.95).

    >>> from limbeck.teachers import Frozen
    >>> sure = Confidence(Frozen(nn.Identity()), threshold=0.9)
    >>> board = {"batch": {"inputs": torch.tensor([[4.0, 0.0], [1.0, 0.0]])}}
    >>> sure(board)["confident"]
    tensor([1., 0.])
    """

    exclusive: ClassVar = True

    def __init__(self, teacher: Teacher, *, threshold: float = 0.95) -> None:
        super().__init__()
        if not 0 <= threshold <= 1:
            raise ArgumentError(f"threshold is {threshold}; it must be a probability", path="threshold")
        self.teacher = teacher
        self.threshold = threshold
        self.known = known_by(teacher)

    @property
    def reads(self) -> tuple[Address, ...]:
        return self.teacher.reads

    def forward(self, board: Board) -> Outputs:
        outputs: Mapping[str, Any] = self.teacher(board)
        taken = sorted({"confidence", "confident"} & set(outputs))
        if taken:
            raise ArgumentError(
                f"the teacher gives an output called {taken[0]!r} itself; give that another name",
                code="in_use",
                path="teacher",
            )
        confidence = _confidence(logits_in("confidence", outputs))
        return {**outputs, "confidence": confidence, "confident": (confidence >= self.threshold).to(confidence.dtype)}


@torch.no_grad()
def _confidence(logits: Tensor | SparseLogits) -> Tensor:
    if isinstance(logits, SparseLogits):
        return _confidence_of_listed(logits)
    # Half precision would round 0.996 to 1.
    return torch.softmax(logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits, -1).amax(-1)


def _confidence_of_listed(logits: SparseLogits) -> Tensor:
    if logits.tail is None or logits.temperature != 1:
        what = "are a sample" if logits.tail is None else f"are stored at temperature {logits.temperature}"
        raise ArgumentError(
            f"confidence: the teacher's sparse logits {what}, and the largest probability at temperature 1 cannot be "
            "told from them; cache with topk at temperature 1, or with a codec that keeps all logits",
            code="unsupported",
            path="teacher",
        )
    return torch.cat([logits.values, logits.tail[..., None]], -1).softmax(-1)[..., :-1].amax(-1)
