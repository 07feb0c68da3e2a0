"""Losses between logits and labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import check_label_smoothing, check_target, shape
from limbeck.functional._precision import at_least_float32

__all__ = ["cross_entropy"]

# torch's own default, -100, would count a row without a label as a loss of 0.
_NO_CLASS = torch.iinfo(torch.int64).min


def cross_entropy(
    student: Tensor, target: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of the logits with class numbers, in nats.

    −Σ_c w_c ((1 − ε) [c = target] + ε / C) log softmax(student)_c, with label smoothing ε and class weights w (all 1 if
    not given). Nothing is divided by the weights or by the number of classes.

    Args:
        student: logits `[*, C]`; float16 and bfloat16 are computed in float32.
        target: class numbers `[*]`, int64 in 0..C−1. Rows without a label are to be left out or masked before.
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
            f"[{student.shape[-1]}]; give one weight for each class"
        )
