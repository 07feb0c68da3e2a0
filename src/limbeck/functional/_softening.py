"""What all losses between softened distributions share: logits brought to a temperature, and their divergence."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from limbeck.functional._centred import centred_unit
from limbeck.functional._checks import check_same_logits, check_temperature
from limbeck.functional._precision import at_least_float32

__all__ = ["binary_divergence", "check_softening", "divergence", "softened"]


def check_softening(operation: str, student: Tensor, teacher: Tensor, temperature: float | Tensor) -> None:
    """Refuse an impossible temperature, and logits that are not two floating tensors of one shape `[*, C]`."""
    check_same_logits(operation, student, teacher)
    check_temperature(operation, temperature, student.shape[:-1])


def softened(logits: Tensor, temperature: float | Tensor, standardize: bool) -> Tensor:
    """What the softmax is taken of: z / T, or with logit standardization (z − mean z) / (σ(z) T) of each row.

    σ is the population's standard deviation over the classes, as in algorithm 1 of the paper; the authors' code takes
    the sample's. Equal logits stay equal, and so give the uniform distribution. `standardize` makes the distribution
    invariant to the scale of the logits, so the student need not reach the teacher's.

    Sun, Ren, Li, Wang and Cao, 2024, "Logit Standardization in Knowledge Distillation", arXiv:2403.01427.
    """
    logits = at_least_float32(logits)
    if isinstance(temperature, Tensor) and temperature.ndim:
        temperature = temperature.unsqueeze(-1)
    if standardize:
        return centred_unit(logits)[0] * (math.sqrt(logits.shape[-1]) / temperature)
    unchanged = not isinstance(temperature, Tensor) and temperature == 1.0
    return logits if unchanged else logits / temperature


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) over the last axis of two tensors of log-probabilities."""
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


def binary_divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(b(p) ‖ b(q)) of two tensors of logits, each its own yes or no; exactly 0 where both are equal."""
    p = teacher.sigmoid()
    cross, own = (F.binary_cross_entropy_with_logits(logits, p, reduction="none") for logits in (student, teacher))
    return cross - own
