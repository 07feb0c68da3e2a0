"""One distribution from teachers of which each knows some of the classes.

Each teacher is taken to give the distribution q of all classes on the condition that one of those it knows is right:
p_m(c) = q(c) / Σ_k q(k), with c and k among the classes L_m of teacher m.

Vongkulbhisal, Vinayavekhin and Visentini-Scarzanella, 2019, "Unifying heterogeneous classifiers with distillation",
arXiv:1904.06062: the cross-entropy method, and matrix factorization in logit space with a single factor. The paper has
equal weights and general solvers.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["linked", "unified_logits", "unified_probabilities"]

_iterations = 15
_largest_step = 2.0


def linked(known: list[set[int]]) -> bool:
    """Whether every teacher shares a class with another one, and so on until all are joined."""
    reached, waiting = set(known[0]), list(known[1:])
    while True:
        near = [classes for classes in waiting if classes & reached]
        if not near:
            return not waiting
        waiting = [classes for classes in waiting if not classes & reached]
        reached = reached.union(*near)


def unified_logits(logits: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """The logits u that minimise Σ_m w_m Σ_{c ∈ L_m} (z_mc + b_m − u_c)², whatever the shifts b_m.

    With all classes known to all, u is the weighted mean of the logits, up to a shift.

    Args:
        logits: ``[M, *, C]``, anything where not known.
        known: boolean ``[M, C]``; every class is known to someone.
        weights: ``[M, *]``, above 0.

    Returns:
        ``[*, C]``.
    """
    mask = _beside(known, logits)
    shares = weights[..., None] * mask
    shares = shares / shares.sum(0)  # Of each teacher in each class it knows.
    logits = logits * mask
    apart = (logits - (shares * logits).sum(0)) * mask
    # Σ_c (b_m − Σ_n share_nc b_n) = −Σ_c apart_mc over the classes of m, times w_m to be symmetric.
    overlap = torch.einsum("m...c,n...c->...mn", mask, shares)
    system = torch.diag_embed(mask.sum(-1).movedim(0, -1)) - overlap
    weight = weights.movedim(0, -1)
    # One shift for all changes nothing: the ones make it 0.
    system = weight[..., None] * system + 1
    shifts = torch.linalg.solve(system, -weight * apart.sum(-1).movedim(0, -1))
    joined: Tensor = (shares * (logits + shifts.movedim(-1, 0)[..., None])).sum(0)
    return joined


def unified_probabilities(log_p: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """The log of the q that minimises Σ_m w_m KL(p_m ‖ q given L_m), up to a shift.

    With all classes known to all, q is the weighted mean of the probabilities. At the minimum
    q_c = Σ_m w_m p_m(c) / Σ_m w_m exp(−λ_m) over the teachers that know c, with λ_m = log Σ_{k ∈ L_m} q_k; the λ
    maximise a concave function, by Newton's method.

    Args:
        log_p: log-probabilities ``[M, *, C]``, −∞ where not known.
        known: boolean ``[M, C]``; every class is known to someone.
        weights: ``[M, *]``, above 0.

    Returns:
        ``[*, C]``.
    """
    dtype = log_p.dtype
    log_p, weights = log_p.double(), weights.double()
    mask = _beside(known, log_p)
    log_w = weights[..., None].log().expand_as(log_p).masked_fill(mask == 0, -torch.inf)
    log_n = (log_w + log_p).logsumexp(0)
    with torch.no_grad():
        # Where the teachers agree, this is the maximum already.
        nearest = unified_logits(log_p.where(mask > 0, 0), known, weights)
        scales = nearest.expand_as(log_p).masked_fill(mask == 0, -torch.inf).logsumexp(-1)
        for _ in range(_iterations):
            scales = scales + _newton(scales, log_w, log_n, weights)
    # From the maximum, one more step has the gradient of the maximum itself.
    scales = scales.detach() + _newton(scales.detach(), log_w, log_n, weights)
    return (log_n - (log_w - scales[..., None]).logsumexp(0)).to(dtype)


def _newton(scales: Tensor, log_w: Tensor, log_n: Tensor, weights: Tensor) -> Tensor:
    """A step towards the maximum of −Σ_c N_c log Σ_m w_m exp(−λ_m) − Σ_m w_m λ_m."""
    responsible = (log_w - scales[..., None]).softmax(0)
    mass = log_n.exp()
    slope = ((mass * responsible).sum(-1) - weights).movedim(0, -1)
    curve = torch.diag_embed((mass * responsible).sum(-1).movedim(0, -1))
    curve = curve - torch.einsum("...c,m...c,n...c->...mn", mass, responsible, responsible)
    tiny = torch.finfo(curve.dtype).eps * torch.eye(len(weights), dtype=curve.dtype, device=curve.device)
    step: Tensor = torch.linalg.solve(curve + tiny + 1, slope).movedim(-1, 0)
    return step * (_largest_step / step.abs().amax(0, keepdim=True).clamp(min=_largest_step))


def _beside(known: Tensor, values: Tensor) -> Tensor:
    """[M, C] as 0 and 1 beside [M, *, C]."""
    shape = (len(known), *(1,) * (values.ndim - 2), known.shape[-1])
    return known.view(shape).to(values).expand_as(values)
