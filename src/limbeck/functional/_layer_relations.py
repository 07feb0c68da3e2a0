"""Losses between relations of channels: of two layers, and of one layer with itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._features import check_maps
from limbeck.functional._pairs import part, unit, values_over_blocks
from limbeck.functional._precision import at_least_float32

__all__ = ["flow_of_solution", "inter_channel_correlation"]


def flow_of_solution(
    student_first: Tensor, student_second: Tensor, teacher_first: Tensor, teacher_second: Tensor
) -> Tensor:
    """Squared difference of the inner products between the channels of two layers, averaged over the matrix.

    (1 / mn) ‖G(teacher) − G(student)‖²_F, with G_ab = (1 / HW) Σ_xy F¹_a,xy F²_b,xy for the m channels of the first
    layer's maps F¹ and the n channels of the second's, F². The paper sums over the matrix, so its weights are to be
    multiplied by mn. Where a model's two maps differ in height or width, the larger is brought to the smaller by the
    maximum over adaptive windows. The student's channels are already projected to the teacher's where they differ.

    Args:
        student_first: maps `[B, m, H, W]`; float16 and bfloat16 are computed in float32.
        student_second: maps `[B, n, H', W']`.
        teacher_first: maps `[B, m, …]` of any height and width.
        teacher_second: maps `[B, n, …]` of any height and width.

    Returns:
        One value per sample, `[B]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: relations between layers.
    Cost: O(B m n H W) operations, O(B + m n) memory, and blocks of at most 2²³ elements, and that of pooled maps where
        sizes differ.

    Example:
        >>> import torch
        >>> ones = torch.ones(1, 2, 4, 4)
        >>> flow_of_solution(ones, 2 * ones, ones, 3 * ones), flow_of_solution(2 * ones, 3 * ones, ones, 6 * ones)
        (tensor([1.]), tensor([0.]))

    Yim, Joo, Bae and Kim, 2017, "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and
    Transfer Learning", doi:10.1109/CVPR.2017.754.
    """
    check_maps("flow_of_solution", student_first, teacher_first, channels=True)
    check_maps("flow_of_solution", student_second, teacher_second, channels=True)
    if len(student_first) != len(student_second):
        raise ArgumentError(
            f"flow_of_solution: the first maps have shape {shape(student_first)}, the second {shape(student_second)}, "
            f"expected the same rows; read both taps of one model"
        )
    student, teacher = _alike(student_first, student_second), _alike(teacher_first, teacher_second)

    def of_samples(start: int, stop: int) -> Tensor:
        ours, theirs = (_flow(*(part(maps, start, stop) for maps in side)) for side in (student, teacher))
        # Squared as a difference: of the two matrices, backward then needs one.
        return (ours - theirs).square().mean(dim=(1, 2))

    return values_over_blocks(of_samples, len(student_first), student_first.shape[1] * student_second.shape[1])


def _alike(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    first, second = at_least_float32(first), at_least_float32(second)
    size = (min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3]))
    return _shrunk(first, size), _shrunk(second, size)


def _flow(first: Tensor, second: Tensor) -> Tensor:
    first, second = first.flatten(2), second.flatten(2)
    # Divided within the product: the matrix may be larger than the maps.
    return torch.baddbmm(first.new_zeros(()), first, second.mT, beta=0, alpha=1 / first.shape[2])


def _shrunk(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == size else F.adaptive_max_pool2d(maps, size)


def inter_channel_correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of the channels' normalized correlations, averaged over the channels.

    (1 / C) ‖G(teacher) − G(student)‖²_F, where row c of G(F) is the row of inner products F_c · F_d over all channels
    d, divided by its length, and F_c the channel c as a vector over the positions. The equation has 1 / C² and no
    length; the authors' code, with which the weights were found, is as here. The student's channels are already
    projected to the teacher's where they differ. A channel of zeros has correlations 0.

    Args:
        student: maps `[B, C, H, W]`; float16 and bfloat16 are computed in float32.
        teacher: maps `[B, C, H', W']` of any height and width.

    Returns:
        One value per sample, `[B]`, in at least float32; it does not change when all features are scaled alike.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: relations between layers.
    Cost: O(B C² H W) operations, O(B + C²) memory, and blocks of at most 2²³ elements.

    Example:
        >>> import torch
        >>> same, apart = torch.ones(1, 2, 1, 2), torch.eye(2).reshape(1, 2, 1, 2)
        >>> inter_channel_correlation(same, apart), inter_channel_correlation(3 * apart, apart)
        (tensor([0.5858]), tensor([0.]))

    Liu, Huang, Lin, Xie, Wang, Chang and Liang, 2021, "Exploring Inter-Channel Correlation for Diversity-preserved
    Knowledge Distillation", arXiv:2202.03680.
    """
    check_maps("inter_channel_correlation", student, teacher, channels=True)
    student, teacher = at_least_float32(student).flatten(2), at_least_float32(teacher).flatten(2)

    def of_samples(start: int, stop: int) -> Tensor:
        ours, theirs = (
            unit(channels @ channels.mT) for channels in (part(student, start, stop), part(teacher, start, stop))
        )
        return F.mse_loss(ours, theirs, reduction="none").sum(dim=2).mean(dim=1)

    return values_over_blocks(of_samples, len(student), student.shape[1] ** 2)
