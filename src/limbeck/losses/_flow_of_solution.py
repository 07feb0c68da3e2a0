"""A loss between the inner products of the channels of two layers (flow of solution procedure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._blocks import row_slice, values_over_blocks
from limbeck.losses._checks import shape
from limbeck.losses._features import check_maps
from limbeck.losses._projection import ChannelProjection, project_if_needed, size_if_needed
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["FlowOfSolution", "flow_of_solution"]


def flow_of_solution(
    student_first: Tensor, student_second: Tensor, teacher_first: Tensor, teacher_second: Tensor
) -> Tensor:
    """Squared difference of the inner products between the channels of two layers, averaged over the matrix.

    (1 / mn) ‖G(teacher) − G(student)‖²_F, with G_ab = (1 / HW) Σ_xy F¹_a,xy F²_b,xy for the m channels of the first
    layer's maps F¹ and the n channels of the second's, F². The paper sums over the matrix; multiply its weights by mn.
    Where a model's two maps differ in height or width, the larger is reduced to the smaller size by adaptive max
    pooling. The student's channels are already projected to the teacher's if they differ.

    Args:
        student_first: maps `[B, m, H, W]`; float16 and bfloat16 inputs are computed in float32.
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
            f"expected the same rows; read both taps of one model",
            code="wrong_shape",
            path="student_second",
        )
    student, teacher = _alike(student_first, student_second), _alike(teacher_first, teacher_second)

    def of_samples(start: int, stop: int) -> Tensor:
        of_student = _flow(*(row_slice(maps, start, stop) for maps in student))
        of_teacher = _flow(*(row_slice(maps, start, stop) for maps in teacher))
        # The difference is taken first, so that backward needs one of the two matrices.
        return (of_student - of_teacher).square().mean(dim=(1, 2))

    return values_over_blocks(of_samples, len(student_first), student_first.shape[1] * student_second.shape[1])


def _alike(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    first, second = at_least_float32(first), at_least_float32(second)
    size = (min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3]))
    return _shrunk(first, size), _shrunk(second, size)


def _flow(first: Tensor, second: Tensor) -> Tensor:
    first, second = first.flatten(2), second.flatten(2)
    # Divided before the product, because the matrix may be larger than the maps.
    return torch.baddbmm(first.new_zeros(()), first, second.mT, beta=0, alpha=1 / first.shape[2])


def _shrunk(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == size else F.adaptive_max_pool2d(maps, size)


@register("loss", "flow_of_solution")
class FlowOfSolution(nn.Module):
    """Module for `limbeck.functional.flow_of_solution`, with learned projections where they are needed.

    For each of the two layers, the student's channels are projected to the teacher's if their numbers differ. If they
    are equal, as in the paper, `prepare` drops the projection.

    Cost: O(B S (m + n) H W) operations and O(B (m + n) H W) memory in addition, for a student of S channels.

    Example:
        >>> import torch
        >>> student, teacher = torch.ones(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
        >>> FlowOfSolution()(student, 2 * student, teacher, 3 * teacher)
        tensor([1.])
    """

    first: ChannelProjection | None
    second: ChannelProjection | None

    def __init__(self) -> None:
        super().__init__()
        self.first = ChannelProjection(operation="flow_of_solution")
        self.second = ChannelProjection(operation="flow_of_solution")

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size each projection from the first sample, or drop it if the channels are equal.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the channels differ from those given before.
        """
        for layer in ("first", "second"):
            pairs = [(sample[f"student_{layer}"], sample[f"teacher_{layer}"]) for sample in samples]
            setattr(self, layer, size_if_needed(getattr(self, layer), pairs))

    def forward(
        self, student_first: Tensor, student_second: Tensor, teacher_first: Tensor, teacher_second: Tensor
    ) -> Tensor:
        check_maps("flow_of_solution", student_first, teacher_first)
        check_maps("flow_of_solution", student_second, teacher_second)
        return flow_of_solution(
            project_if_needed(self.first, student_first, teacher_first),
            project_if_needed(self.second, student_second, teacher_second),
            teacher_first,
            teacher_second,
        )
