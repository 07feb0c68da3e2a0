"""The cross-entropy of logits with class labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import check_label_smoothing, check_target, shape
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["CrossEntropy", "cross_entropy"]

# PyTorch's default, -100, would give a row without a label the loss 0.
_NO_CLASS = torch.iinfo(torch.int64).min


def cross_entropy(
    student: Tensor, target: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of the logits with class numbers, in nats.

    −Σ_c w_c ((1 − ε) [c = target] + ε / C) log softmax(student)_c, with label smoothing ε and class weights w (all 1 if
    not given). The loss is divided neither by the weights nor by the number of classes.

    Args:
        student: logits `[*, C]`; float16 and bfloat16 inputs are computed in float32.
        target: class numbers `[*]`, int64 in 0..C−1. Leave out or mask rows without a label.
        label_smoothing: ε, at least 0 and below 1.
        class_weights: w, `[C]`, at least 0.

    Returns:
        One value per row, `[*]`, in at least float32.

    Raises:
        ArgumentError: if the shapes do not fit, the target is not int64, or the label smoothing is out of range.
        IndexError: if a class number is out of range (on a CUDA device, the device's own assertion).

    Knowledge: labels.
    Cost: O(B C) operations, O(B C) memory.

    Example:
        >>> import torch
        >>> logits, target = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
        >>> cross_entropy(logits, target)
        tensor([0.1269, 2.1269])
        >>> cross_entropy(logits, target, label_smoothing=0.1)
        tensor([0.2269, 2.0269])

    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, 2016, "Rethinking the Inception Architecture for Computer Vision",
    arXiv:1512.00567 (label smoothing).
    """
    check_label_smoothing("cross_entropy", label_smoothing)
    check_target("cross_entropy", student, target)
    logits = at_least_float32(student)
    if class_weights is not None:
        _check_class_weights(student, class_weights)
        class_weights = class_weights.to(logits.dtype)
    shaped = target.ndim > 1
    rows = F.cross_entropy(
        logits.flatten(0, -2) if shaped else logits,
        target.flatten() if shaped else target,
        weight=class_weights,
        ignore_index=_NO_CLASS,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return rows.reshape(target.shape) if shaped else rows


def _check_class_weights(student: Tensor, class_weights: Tensor) -> None:
    if class_weights.shape != student.shape[-1:]:
        raise ArgumentError(
            f"cross_entropy: class_weights has shape {shape(class_weights)} and student {shape(student)}, expected "
            f"[{student.shape[-1]}]; give one weight for each class",
            code="wrong_shape",
            path="class_weights",
        )


@register("loss", "cross_entropy")
class CrossEntropy(nn.Module):
    """Module for `limbeck.functional.cross_entropy`, with label smoothing and class weights (a buffer).

    Args:
        label_smoothing: ε, at least 0 and below 1.
        class_weights: one finite number for each class, none below 0 and not all 0.

    Raises:
        ArgumentError: if a setting is out of range.

    Example:
        >>> import torch
        >>> loss = CrossEntropy(class_weights=[1.0, 3.0])
        >>> loss(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor([0.6931, 2.0794])
    """

    exclusive: ClassVar = True
    class_weights: Tensor | None

    def __init__(self, *, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        check_label_smoothing("cross_entropy", label_smoothing)
        self.label_smoothing = label_smoothing
        self.register_buffer("class_weights", None if class_weights is None else _as_tensor(class_weights))

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(student, target, label_smoothing=self.label_smoothing, class_weights=self.class_weights)

    def extra_repr(self) -> str:
        weights = None if self.class_weights is None else self.class_weights.tolist()
        return f"label_smoothing={self.label_smoothing}, class_weights={weights}"


def _as_tensor(class_weights: Sequence[float]) -> Tensor:
    weights = [float(weight) for weight in class_weights]
    if not all(0.0 <= weight < math.inf for weight in weights) or not any(weights):
        raise ArgumentError(
            f"cross_entropy: class_weights are {weights}, expected finite numbers of at least 0, not all 0; "
            f"leave them out to weigh all classes alike",
            path="class_weights",
        )
    return torch.tensor(weights, dtype=torch.float32)
