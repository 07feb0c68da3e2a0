"""A loss between features of several levels, as a module that fuses the student's levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck import functional
from limbeck.errors import ArgumentError
from limbeck.losses._sized import Sized, channels_of, convolved
from limbeck.registry import register

__all__ = ["ReviewKD"]

_levels = range(1, 6)


@register("loss", "review_kd")
class ReviewKD(Sized):
    """Fuses the student's levels from the deepest up (attention-based fusion) for `limbeck.functional.review_kd`.

    A level's features go through a 1×1 convolution to a common width, are added to the fused features of the deeper
    levels, with the weights of a sigmoid attention map for each of the two, are brought to the teacher's size, and go
    through a 3×3 convolution to the teacher's channels. Sizes are met by nearest neighbours. Levels are numbered from
    the shallowest; vectors `[B, D]` count as 1×1 maps. The paper has batch normalization after these convolutions; here
    a bias, so that the value of a row does not depend on the other rows.

    Args:
        width: the common width of the fused features; None takes the deepest level's channels, at most 512.

    Raises:
        ArgumentError: if the width is not positive.

    Inputs:
        student_1: the student's shallowest level, maps `[B, C, H, W]` or vectors `[B, D]`.
        teacher_1: the teacher's shallowest level, maps `[B, C, H, W]` or vectors `[B, D]`.
        student_2: the student's level 2; none if there are fewer.
        teacher_2: the teacher's level 2; none if there are fewer.
        student_3: the student's level 3; none if there are fewer.
        teacher_3: the teacher's level 3; none if there are fewer.
        student_4: the student's level 4; none if there are fewer.
        teacher_4: the teacher's level 4; none if there are fewer.
        student_5: the student's level 5; none if there are fewer.
        teacher_5: the teacher's level 5; none if there are fewer.

    Cost: O(B S (S + C) H W) operations more, O(B (S + C) H W) memory more, for each level, with S channels of the
        student's deepest.

    Example:
        >>> import torch
        >>> features = {"student_1": torch.zeros(2, 3, 8, 8), "teacher_1": torch.zeros(2, 5, 8, 8)}
        >>> features |= {"student_2": torch.zeros(2, 6, 4, 4), "teacher_2": torch.zeros(2, 9, 4, 4)}
        >>> loss = ReviewKD()
        >>> loss.prepare([features])
        >>> loss(**features).shape
        torch.Size([2])
    """

    def __init__(self, *, width: int | None = None) -> None:
        super().__init__()
        if width is not None and width < 1:
            raise ArgumentError(f"review_kd: width is {width}, expected at least 1, or None for the deepest level's")
        self.width = width

    def build(self, channels: Sequence[int]) -> None:
        students, teachers = channels[0::2], channels[1::2]
        width = self.width or min(512, students[-1])
        self.narrow = nn.ModuleList(nn.Conv2d(student, width, 1) for student in students)
        self.attention = nn.ModuleList(nn.Conv2d(2 * width, 2, 1) for _ in students[1:])
        self.widen = nn.ModuleList(nn.Conv2d(width, teacher, 3, padding=1) for teacher in teachers)

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the fusion from the first sample, and check the channels of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if a level lacks one side or the channels are not those given before.
        """
        for sample in samples:
            students, teachers = _sides(sample)
            self.size([channels_of(maps) for pair in zip(students, teachers, strict=True) for maps in pair])

    def forward(
        self,
        student_1: Tensor,
        teacher_1: Tensor,
        student_2: Tensor | None = None,
        teacher_2: Tensor | None = None,
        student_3: Tensor | None = None,
        teacher_3: Tensor | None = None,
        student_4: Tensor | None = None,
        teacher_4: Tensor | None = None,
        student_5: Tensor | None = None,
        teacher_5: Tensor | None = None,
    ) -> Tensor:
        self.check_sized()
        students, teachers = _sides(
            {
                "student_1": student_1, "student_2": student_2, "student_3": student_3, "student_4": student_4,
                "student_5": student_5, "teacher_1": teacher_1, "teacher_2": teacher_2, "teacher_3": teacher_3,
                "teacher_4": teacher_4, "teacher_5": teacher_5,
            }
        )  # fmt: skip
        if len(students) != len(self.narrow):
            raise ArgumentError(
                f"review_kd: {len(students)} levels are given, but it is sized for {len(self.narrow)}; give the levels "
                f"that prepare has seen"
            )
        return functional.review_kd(self._fused(students, teachers), teachers)

    def _fused(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> list[Tensor]:
        outputs: list[Tensor] = []
        deeper: Tensor | None = None
        for level in reversed(range(len(students))):
            features = convolved("review_kd", self.narrow[level], students[level])
            if deeper is not None:
                deeper = _nearest(deeper, features)
                weights = convolved("review_kd", self.attention[level], torch.cat([features, deeper], dim=1)).sigmoid()
                features = features * weights[:, :1] + deeper * weights[:, 1:]
            deeper = _nearest(features, teachers[level])
            outputs.append(convolved("review_kd", self.widen[level], deeper))
        return outputs[::-1]

    def extra_repr(self) -> str:
        return f"width={self.width}"


def _sides(values: Mapping[str, Tensor | None]) -> tuple[list[Tensor], list[Tensor]]:
    """The levels that are there, each side in order, as maps."""
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    gap = None
    for level in _levels:
        student, teacher = values.get(f"student_{level}"), values.get(f"teacher_{level}")
        if (student is None) != (teacher is None) or (student is not None and gap):
            raise ArgumentError(
                f"review_kd: level {gap or level} lacks its student's or teacher's features; give student_1 and "
                f"teacher_1, student_2 and teacher_2, … without a gap, from the shallowest"
            )
        if student is None or teacher is None:
            gap = gap or level
        else:
            for side, features in zip(sides, (student, teacher), strict=True):
                side.append(features[:, :, None, None] if features.ndim == 2 else features)
    return sides


def _nearest(maps: Tensor, like: Tensor) -> Tensor:
    return maps if maps.shape[2:] == like.shape[2:] else F.interpolate(maps, size=like.shape[2:], mode="nearest")
