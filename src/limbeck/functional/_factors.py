"""A loss between factors: what a paraphraser makes of the teacher's features, and a translator of the student's."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.functional._features import check_maps, pooled_alike
from limbeck.functional._precision import at_least_float32

__all__ = ["factor_transfer"]


def factor_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Absolute difference of normalized factors, averaged over their elements.

    (1 / N) ‖f(student) − f(teacher)‖₁, with f(x) = x / ‖x‖₂ over all N = C·H·W elements of one sample. Where heights
    or widths differ, the larger factor is averaged down to the smaller. A factor that is 0 everywhere stays 0. The
    paper leaves the choice of the norm open; its authors' code takes this mean, with a weight of 500.

    Args:
        student: the translator's output, `[B, C, H, W]`; float16 and bfloat16 are computed in float32.
        teacher: the paraphraser's output, `[B, C, H', W']`.

    Returns:
        One value per sample, `[B]`, in at least float32; it does not change when either side is multiplied by a number
        above 0.

    Raises:
        ArgumentError: if the shapes do not fit.

    Knowledge: features.
    Cost: O(B C H W) operations, O(B C H W) memory.

    Example:
        >>> import torch
        >>> factor_transfer(torch.tensor([[[[5.0, 0.0]]]]), torch.tensor([[[[0.0, 2.0]]]]))
        tensor([1.])

    Kim, Park and Kwak, 2018, "Paraphrasing Complex Network: Network Compression via Factor Transfer",
    arXiv:1802.04977.
    """
    check_maps("factor_transfer", student, teacher, channels=True)
    student, teacher = pooled_alike(at_least_float32(student), at_least_float32(teacher))
    student, teacher = F.normalize(student.flatten(1), dim=1), F.normalize(teacher.flatten(1), dim=1)
    return (student - teacher).abs().mean(dim=1)
