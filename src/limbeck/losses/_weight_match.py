"""The squared difference between the weights of paired layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses._lazy import LazyModule
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["WeightMatch", "weight_match"]


def weight_match(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of the weights of two layers, averaged over all weights.

    (1 / N) Σ (student − teacher)². It does not depend on the batch, and counts once per step.

    Args:
        student: a parameter of any shape, already projected to the teacher's; float16 and bfloat16 inputs are computed
            in float32.
        teacher: a parameter of the same shape.

    Returns:
        One value, `[1]`, in at least float32.

    Raises:
        ArgumentError: if the shapes differ.

    Knowledge: weights.
    Cost: O(N) operations, O(N) memory.

    Example:
        >>> import torch
        >>> weight_match(torch.zeros(2, 3), torch.ones(2, 3))
        tensor([1.])

    Not from a paper on distillation; for a penalty on the distance to trained weights see Li, Grandvalet and Davoine,
    2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", arXiv:1802.01483.
    """
    if student.shape != teacher.shape:
        raise ArgumentError(
            f"weight_match: student has shape {shape(student)} and teacher {shape(teacher)}, expected one shape; "
            f"project the student's first, as WeightMatch does",
            code="wrong_shape",
            path="student",
        )
    if not (student.is_floating_point() and teacher.is_floating_point()):
        raise ArgumentError(
            f"weight_match: student is {student.dtype} and teacher {teacher.dtype}, expected floating weights for "
            f"both; read parameters that are trained",
            code="wrong_type",
            path="student",
        )
    # `stack` copies the mean, which would keep the storage of all squares.
    return torch.stack([F.mse_loss(at_least_float32(student), at_least_float32(teacher))])


@register("loss", "weight_match")
class WeightMatch(LazyModule):
    """Module for `limbeck.functional.weight_match` that projects the student's weights.

    P W Rᵀ, with a learned P over the outputs (the first axis) and a learned R over the inputs (the second), each only
    where the sizes differ; layers of equal size are compared without a projection. Further axes (the kernel of a
    convolution) must be equal. It reads parameters:
    `inputs={"student": "student.parameters.conv.weight", "teacher": "teacher.parameters.conv.weight"}`.

    Cost: where the sizes differ, a matrix product of the student's weights with each projection.

    Example:
        >>> import torch
        >>> loss, student, teacher = WeightMatch(), torch.ones(4, 3, 3, 3), torch.ones(8, 3, 3, 3)
        >>> loss.prepare([{"student": student, "teacher": teacher}])
        >>> loss(student, teacher).shape
        torch.Size([1])
    """

    outputs: Tensor | None
    inputs: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("outputs", None)
        self.register_parameter("inputs", None)

    def build(self, channels: Sequence[int]) -> None:
        students, teachers = channels[: len(channels) // 2], channels[len(channels) // 2 :]
        for name, before, after in zip(("outputs", "inputs"), students, teachers, strict=False):
            if before != after:
                setattr(self, name, nn.Parameter(torch.empty(after, before).uniform_(-1, 1) / math.sqrt(before)))

    def prepare(self, samples: Sequence[Mapping[str, Tensor]]) -> None:
        """Size the projections from the two parameters.

        Args:
            samples: for each batch, the arguments of `forward` by name.

        Raises:
            ArgumentError: if the parameters differ in the number of axes or in the size of a kernel.
        """
        student, teacher = samples[0]["student"], samples[0]["teacher"]
        if student.ndim != teacher.ndim or student.ndim == 0 or student.shape[2:] != teacher.shape[2:]:
            raise ArgumentError(
                f"weight_match: student has shape {shape(student)} and teacher {shape(teacher)}, expected the same "
                f"number of axes and equal kernels; pair layers of one kind",
                code="wrong_shape",
                path="student",
            )
        self.size([*student.shape, *teacher.shape])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        if student.shape != teacher.shape:
            self.check_sized()
        projections = self.outputs, self.inputs
        if any(projection is not None for projection in projections):
            student = _projected(projections, student, teacher)
        return weight_match(student, teacher)


def _projected(projections: Sequence[Tensor | None], student: Tensor, teacher: Tensor) -> Tensor:
    expected = list(teacher.shape)
    for axis, projection in enumerate(projections[: len(expected)]):
        if projection is not None:
            expected[axis] = projection.shape[1]
    if list(student.shape) != expected or not student.is_floating_point():
        raise ArgumentError(
            f"weight_match: student is {student.dtype} of shape {shape(student)} and teacher has shape "
            f"{shape(teacher)}, expected floating weights of shape {expected}, for which it is sized; read the "
            f"parameters that prepare has seen",
            code="wrong_shape",
            path="student",
        )
    for axis, projection in enumerate(projections):
        if projection is not None:
            student = _along(axis, projection, at_least_float32(student))
    return student


def _along(axis: int, projection: Tensor, weight: Tensor) -> Tensor:
    dtype = torch.promote_types(projection.dtype, weight.dtype)
    projected: Tensor = torch.tensordot(projection.to(dtype), weight.to(dtype), dims=([1], [axis]))
    return projected.movedim(0, axis)
