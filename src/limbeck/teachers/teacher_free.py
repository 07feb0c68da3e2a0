"""A teacher without a model: the label, softened."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from limbeck.core import Address, Board, Outputs, resolve
from limbeck.errors import ArgumentError
from limbeck.registry import register

__all__ = ["TeacherFree"]

_unknown = -100


@register("teacher", "teacher_free")
class TeacherFree(nn.Module):
    r"""The virtual teacher of teacher-free distillation: right with the same probability for every row.

    .. math::
        z_c = \log a \;\text{ for the label}, \qquad z_c = \log \frac{1 - a}{C - 1} \;\text{ for every other class}

    so that softmax(z) has the probability a for the label, and softmax(z / T) what a term of temperature T makes of it.
    The paper softens this distribution by a large T (20 and 40); its code does that with the probabilities in the place
    of logits, which gives a nearly uniform teacher.

    Where the label is −100, the virtual teacher knows nothing and gives the uniform distribution; leave such rows out
    with ``where="batch.labelled"``.

    Args:
        classes: C, at least 2.
        confidence: a, above 1 / C and below 1; the paper asks for at least 0.9, its code has 0.99.
        target: the address of the label, integers ``[B]`` or ``[B, T]``.

    Raises:
        ArgumentError: if a number is out of range; when it runs, if the target is not an integer.

    Recipe: ``models: {teacher: {teacher_free: {confidence: 0.99}}}``.

    Source: Yuan, Tay, Li, Wang & Feng 2020, Revisiting knowledge distillation via label smoothing regularization,
    arXiv:1909.11723 (Tf-KD_reg).

    >>> teacher = TeacherFree(classes=3, confidence=0.9)
    >>> teacher({"batch": {"target": torch.tensor([1, -100])}})["logits"].softmax(-1)
    tensor([[0.0500, 0.9000, 0.0500],
            [0.3333, 0.3333, 0.3333]])
    """

    exclusive: ClassVar = True
    section: ClassVar = "teacher_free"
    nested: ClassVar = True
    learns: ClassVar = False

    def __init__(self, *, classes: int, confidence: float = 0.99, target: Address = "batch.target") -> None:
        super().__init__()
        if classes < 2:
            raise ArgumentError(f"teacher_free: classes is {classes}; expected at least 2", path="classes")
        if not 1 / classes < confidence < 1:
            raise ArgumentError(
                f"teacher_free: confidence is {confidence}; expected a probability above {1 / classes:.3g}, that of "
                "any class, and below 1",
                path="confidence",
            )
        self.classes = classes
        self.confidence = confidence
        self.target = target

    @property
    def reads(self) -> tuple[Address, ...]:
        return (self.target,)

    def forward(self, board: Board) -> Outputs:
        target = resolve(board, self.target)
        if target.is_floating_point() or target.dtype == torch.bool:
            raise ArgumentError(
                f"teacher_free: {self.target!r} holds {target.dtype}; expected integer classes",
                code="wrong_type",
                path="target",
            )
        known = target != _unknown
        right = nn.functional.one_hot(target.where(known, 0), self.classes).bool() & known[..., None]
        other = math.log((1 - self.confidence) / (self.classes - 1))
        logits = torch.full(right.shape, other, device=target.device).masked_fill(right, math.log(self.confidence))
        return {"logits": logits}
