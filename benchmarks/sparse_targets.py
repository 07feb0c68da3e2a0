"""What a sparse codec says of a batch, and what the student's head learns from it; shared by two benchmarks."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.cache import TopK
from limbeck.functional import SparseLogits, kl_divergence

__all__ = ["largest_topk", "logit_gradient"]


def largest_topk(size: int, classes: int) -> TopK:
    """As many classes as these bytes hold."""
    fitting = (TopK(k=k) for k in range(1, size) if TopK(k=k).record_bytes((classes,)) <= size)
    return max(fitting, key=lambda codec: codec.k)


def logit_gradient(student: Tensor, teacher: Tensor | SparseLogits) -> Tensor:
    """That of kl_divergence, summed over all tokens, with respect to the student's logits."""
    logits = student.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(kl_divergence(logits, teacher).sum(), logits)
    return gradient
