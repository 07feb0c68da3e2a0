"""A teacher whose classes come in another order, or are not all that the student has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from limbeck.core import Address, Board, Outputs, Teacher
from limbeck.errors import ArgumentError
from limbeck.registry import register
from limbeck.teachers._members import whole_logits

__all__ = ["Known", "MapClasses", "known_by"]


class Known(NamedTuple):
    """Which of the student's classes a teacher's logits stand for, in their order, and how many the student has."""

    classes: tuple[int, ...]
    total: int


def known_by(teacher: object) -> Known | None:
    """The classes that a teacher knows; None if it knows all."""
    known: Known | None = getattr(teacher, "known", None)
    return known


@register("teacher", "map_classes")
class MapClasses(nn.Module):
    r"""Gives a teacher's logits in the student's order of classes.

    .. math:: z'_j = z_{\pi(j)}

    with :math:`\pi(j)` the place of the student's j-th class among the teacher's. Classes that only the teacher has are
    left out, which makes its softmax the distribution given that one of the others is right. If the teacher lacks some
    of the student's, there are only K logits for the K common classes, and ``known.classes`` names them. A term that
    reads them compares with the student's softmax over the same classes: ``Term(loss, ..., classes=...)``. An
    `Ensemble` joins such teachers.

    All other outputs of the teacher stay as they are.

    Args:
        teacher: any teacher that gives ``logits``.
        classes: what each of the teacher's logits stands for: names, or numbers.
        to: the same for the student's.

    Raises:
        ArgumentError: if a class is named twice, or fewer than two are common to both; when it runs, if the teacher has
            another number of logits.

    Recipe: ``models: {teacher: {use: resnet, checkpoint: teacher.pt, classes: [cat, dog]}}``.

    >>> from limbeck.teachers import Frozen
    >>> teacher = MapClasses(Frozen(nn.Identity()), classes=["dog", "cat", "cow"], to=["cat", "dog", "emu"])
    >>> teacher({"batch": {"inputs": torch.tensor([[1.0, 2.0, 3.0]])}})["logits"], teacher.known.classes
    (tensor([[2., 1.]]), (0, 1))
    """

    _places: Tensor

    def __init__(self, teacher: Teacher, *, classes: Sequence[str | int], to: Sequence[str | int]) -> None:
        super().__init__()
        classes, to = list(classes), list(to)
        for names, whose in ((classes, "teacher"), (to, "student")):
            twice = sorted({str(name) for name in names if names.count(name) > 1})
            if twice:
                raise ArgumentError(
                    f"map_classes: the {whose}'s classes name {twice} twice", code="duplicate", path="classes"
                )
        common = [name for name in to if name in classes]
        if len(common) < 2:
            raise ArgumentError(
                f"map_classes: {len(common)} of the student's {len(to)} classes are among the teacher's "
                f"{_few(classes)}; expected at least 2; write both as {_few(to)}",
                code="too_few",
                path="classes",
            )
        self.teacher = teacher
        self._count = len(classes)
        self.known = Known(tuple(map(to.index, common)), len(to)) if len(common) < len(to) else None
        self.register_buffer("_places", torch.tensor([classes.index(name) for name in common]), persistent=False)

    @property
    def reads(self) -> tuple[Address, ...]:
        return self.teacher.reads

    def forward(self, board: Board) -> Outputs:
        outputs = self.teacher(board)
        logits = whole_logits("map_classes", outputs)
        if logits.shape[-1] != self._count:
            raise ArgumentError(
                f"map_classes: the teacher gives logits {list(logits.shape)}, but {self._count} classes are named",
                code="mismatch",
                path="classes",
            )
        return {**outputs, "logits": logits.index_select(-1, self._places)}


def _few(names: Sequence[str | int]) -> str:
    return f"[{', '.join(map(repr, names[:4]))}{', …' if len(names) > 4 else ''}]"
