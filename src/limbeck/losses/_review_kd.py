"""Knowledge review: fused features of several stages are compared at several sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses._features import check_maps
from limbeck.losses._lazy import LazyModule, channels_of, convolve
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["ReviewKD", "review_kd"]

_pyramid = (4, 2, 1)
_LEVELS = range(1, 6)


def review_kd(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Hierarchical context loss: squared differences of features and of their pooled versions, summed over levels.

    Σ_levels Σ_k w_k mean (pool_k(student) − pool_k(teacher))² / Σ_k w_k, where pool_0 is the identity and the others
    average-pool to 4×4, 2×2 and 1×1, as far as that is smaller than the map's height. The weights w are 1, ½, ¼, ⅛ in
    the order of the sizes used. The student's features are already fused over the levels and projected to the teacher's
    channels and size, as `limbeck.losses.ReviewKD` does.

    Args:
        student: for each level, maps `[B, C, H, W]`; float16 and bfloat16 inputs are computed in float32.
        teacher: for each level, maps of the same shape.

    Returns:
        One value per sample, `[B]`, in at least float32; exactly 0 where all features are equal.

    Raises:
        ArgumentError: if there is no level, or the shapes differ.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory, for each level.

    Example:
        >>> import torch
        >>> review_kd([torch.zeros(1, 3, 2, 2)], [torch.ones(1, 3, 2, 2)])
        tensor([1.])

    Chen, Liu, Zhao and Jia, 2021, "Distilling Knowledge via Knowledge Review", arXiv:2104.09044.
    """
    if not student or len(student) != len(teacher):
        raise ArgumentError(
            f"review_kd: student has {len(student)} levels and teacher {len(teacher)}, expected the same number, at "
            f"least 1; give one tensor for each level",
            code="mismatch",
            path="student",
        )
    levels = [_level(*pair) for pair in zip(student, teacher, strict=True)]
    total = levels[0]
    for level in levels[1:]:
        total = total + level
    return total


def _level(student: Tensor, teacher: Tensor) -> Tensor:
    check_maps("review_kd", student, teacher, channels=True)
    if student.shape != teacher.shape:
        raise ArgumentError(
            f"review_kd: student has shape {shape(student)} and teacher {shape(teacher)}, expected one shape; bring "
            f"the student's maps to the teacher's size first",
            code="wrong_shape",
            path="student",
        )
    # Pooling is linear, so the difference is pooled instead of both sides.
    difference = at_least_float32(student) - at_least_float32(teacher)
    value, weight, weights = difference.square().mean(dim=(1, 2, 3)), 1.0, 1.0
    for size in _pyramid:
        if size < difference.shape[2]:
            weight /= 2
            weights += weight
            value = value + weight * F.adaptive_avg_pool2d(difference, size).square().mean(dim=(1, 2, 3))
    return value / weights


@register("loss", "review_kd")
class ReviewKD(LazyModule):
    """Module for `limbeck.functional.review_kd` that fuses the student's levels, starting from the deepest.

    Attention-based fusion: a 1×1 convolution maps the features of a level to a common width. They are added to the
    fused features of the deeper levels, each weighted by a sigmoid attention map, resized to the teacher's size, and
    mapped to the teacher's channels by a 3×3 convolution. Maps are resized by nearest neighbours. Levels are numbered
    from the shallowest; vectors `[B, D]` count as 1×1 maps. The paper has batch normalization after these convolutions;
    here they have a bias, so that the value of a row does not depend on the other rows.

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

    Cost: O(B S (S + C) H W) operations and O(B (S + C) H W) memory in addition, for each level, with S channels of the
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
            raise ArgumentError(
                f"review_kd: width is {width}, expected at least 1, or None for the deepest level's", path="width"
            )
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
                f"that prepare has seen",
                code="mismatch",
                path="student_1",
            )
        return review_kd(self._fused(students, teachers), teachers)

    def _fused(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> list[Tensor]:
        outputs: list[Tensor] = []
        deeper: Tensor | None = None
        for level in reversed(range(len(students))):
            features = convolve("review_kd", self.narrow[level], students[level])
            if deeper is not None:
                deeper = _nearest(deeper, features)
                weights = convolve("review_kd", self.attention[level], torch.cat([features, deeper], dim=1)).sigmoid()
                features = features * weights[:, :1] + deeper * weights[:, 1:]
            deeper = _nearest(features, teachers[level])
            outputs.append(convolve("review_kd", self.widen[level], deeper))
        return outputs[::-1]

    def extra_repr(self) -> str:
        return f"width={self.width}"


def _sides(values: Mapping[str, Tensor | None]) -> tuple[list[Tensor], list[Tensor]]:
    """The given levels of each side, in order, as maps."""
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    gap = None
    for level in _LEVELS:
        student, teacher = values.get(f"student_{level}"), values.get(f"teacher_{level}")
        if (student is None) != (teacher is None) or (student is not None and gap):
            raise ArgumentError(
                f"review_kd: level {gap or level} lacks its student's or teacher's features; give student_1 and "
                f"teacher_1, student_2 and teacher_2, … without a gap, from the shallowest",
                code="missing",
                path=f"student_{gap or level}"
                if values.get(f"student_{gap or level}") is None
                else f"teacher_{gap or level}",
            )
        if student is None or teacher is None:
            gap = gap or level
        else:
            for side, features in zip(sides, (student, teacher), strict=True):
                side.append(features[:, :, None, None] if features.ndim == 2 else features)
    return sides


def _nearest(maps: Tensor, like: Tensor) -> Tensor:
    return maps if maps.shape[2:] == like.shape[2:] else F.interpolate(maps, size=like.shape[2:], mode="nearest")
