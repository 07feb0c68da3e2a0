"""The mixture of logits that fits a label best."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["best_mixture"]

_iterations = 25
_shrink = 0.4
_steps = (1.0, 0.5, 0.2, 0.05, 0.01, 0.0)
_short_of_the_edge = 0.95


def best_mixture(margins: Tensor) -> Tensor:
    """The shares α ≥ 0 with Σ_m α_m = 1 that minimise log Σ_c exp(Σ_m α_m d_mc), the cross-entropy of the mixture.

    By the barrier method: Newton steps on the cost − μ Σ_m log α_m for falling μ, each with the best of a few lengths.

    Args:
        margins: ``[M, *, C]``, each member's logits less its logit of the label.

    Returns:
        ``[M, *]``; never worse than the best member alone.
    """
    gaps = margins.double().movedim(0, -2)
    shares = torch.full(gaps.shape[:-1], 1 / gaps.shape[-2], dtype=gaps.dtype, device=gaps.device)
    spread = (gaps.amax(-1) - gaps.amin(-1)).amax(-1, keepdim=True)
    barrier = spread.clamp(min=1e-6) / gaps.shape[-2]
    for _ in range(_iterations):
        step = _newton(shares, gaps, barrier)
        tried = torch.stack([shares + length * step for length in _steps])
        best = (_cost(tried, gaps) - (barrier * tried.log()).sum(-1)).argmin(0)
        shares = tried.gather(0, best[None, ..., None].expand(1, *shares.shape)).squeeze(0)
        barrier = barrier * _shrink
    alone = torch.eye(gaps.shape[-2], dtype=gaps.dtype, device=gaps.device)[gaps.logsumexp(-1).argmin(-1)]
    better = _cost(shares, gaps) <= _cost(alone, gaps)
    return shares.where(better[..., None], alone).movedim(-1, 0).to(margins.dtype)


def _cost(shares: Tensor, gaps: Tensor) -> Tensor:
    return (shares[..., None] * gaps).sum(-2).logsumexp(-1)


def _newton(shares: Tensor, gaps: Tensor, barrier: Tensor) -> Tensor:
    """The step [*, M] that keeps the sum, and stays short of where a share would be 0."""
    p = (shares[..., None] * gaps).sum(-2).softmax(-1)
    slope = (gaps * p[..., None, :]).sum(-1)
    centred = gaps - slope[..., None]
    curve = torch.einsum("...c,...mc,...nc->...mn", p, centred, centred) + torch.diag_embed(barrier / shares**2)
    down, level = torch.linalg.solve(curve, torch.stack([slope - barrier / shares, torch.ones_like(slope)], -1)).unbind(
        -1
    )
    step: Tensor = level * (down.sum(-1, keepdim=True) / level.sum(-1, keepdim=True)) - down
    longest = (-step / shares).amax(-1, keepdim=True)
    return step * (_short_of_the_edge / longest.clamp(min=_short_of_the_edge))
