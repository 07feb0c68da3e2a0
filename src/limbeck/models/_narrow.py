"""What a narrower transformer takes over from the weights of a wide one: its hidden state, its neurons, its heads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

__all__ = ["Basis", "energy", "hidden_basis", "largest", "low_rank", "narrower_heads"]


class Basis(NamedTuple):
    """Narrow states z = down h, and what stands for the wide ones, h ≈ up z; down up = 1."""

    down: Tensor
    up: Tensor

    def gain(self, gain: Tensor) -> Tensor:
        """The diagonal of down · diag(gain) · up."""
        return (self.down * self.up.T) @ gain

    @property
    def tied(self) -> float:
        """The c for which c down is nearest to what reads states as up does, for weights that also write them."""
        return float((self.up.T * self.down).sum() / self.down.square().sum())


def energy(parts: Iterable[Tensor]) -> Tensor:
    """The sum of Gram matrices [D, D], each divided by its trace."""
    return sum((gram / gram.trace().clamp_min(1e-30) for gram in parts), torch.zeros(()))


def hidden_basis(energy: Tensor, width: int, method: Literal["svd", "select"]) -> Basis:
    """The part of the hidden state that a width keeps.

    Args:
        energy: the second moments [D, D] of the hidden state, in any unit.
        width: d.
        method: as in `limbeck.models.shrink`.

    Returns:
        A `Basis` with down [d, D] and up [D, d].
    """
    wide = len(energy)
    if method == "select":
        chosen = largest(energy.diagonal(), width)
        one = torch.eye(wide, dtype=energy.dtype, device=energy.device)
        up = energy[:, chosen] @ torch.linalg.pinv(energy[chosen][:, chosen], hermitian=True)
        up[chosen] = one[chosen][:, chosen]
        return Basis(one[chosen], up)
    ones = energy.new_ones(wide, 1) / wide**0.5
    centred = energy - ones @ (ones.T @ energy)
    centred = centred - (centred @ ones) @ ones.T
    # Ascending: the direction of the ones, whose eigenvalue is 0, may mix with others of 0, so it is moved below them.
    directions = torch.linalg.eigh(centred - energy.trace() * ones @ ones.T)[1].flip(1)[:, : width - 1]
    kept = torch.cat([ones, directions], 1) @ _first_to_ones(width, energy).T
    return Basis((width / wide) ** 0.5 * kept.T, (wide / width) ** 0.5 * kept)


def _first_to_ones(width: int, like: Tensor) -> Tensor:
    """A reflection [d, d] that takes the first unit vector to (1, …, 1) / √d."""
    difference = like.new_full((width,), width**-0.5)
    difference[0] -= 1
    return torch.eye(width, dtype=like.dtype, device=like.device) - (
        2 * torch.outer(difference, difference) / difference.square().sum().clamp_min(1e-30)
    )


def largest(scores: Tensor, count: int) -> Tensor:
    """The positions of the largest scores along the last axis, in their own order."""
    return scores.topk(count, dim=-1).indices.sort(dim=-1).values


def low_rank(left: Tensor, right: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The factors of the nearest product of a rank: left [·, n, s] right [·, s, m] ≈ [·, n, rank] [·, rank, m].

    It is nearest in the Frobenius norm, and the singular values are shared equally by both factors.

    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <...>
    >>> left, right = torch.randn(1, 5, 2), torch.randn(1, 2, 4)
    >>> a, b = low_rank(torch.cat([left, left], 2), torch.cat([right, right], 1), 2)
    >>> torch.allclose(a @ b, 2 * left @ right, atol=1e-5)
    True
    """
    outer, inner = torch.linalg.qr(left), torch.linalg.qr(right.mT)
    u, s, vh = torch.linalg.svd(outer.R @ inner.R.mT)
    root = s[..., :rank].sqrt()
    return outer.Q @ (u[..., :rank] * root.unsqueeze(-2)), (root.unsqueeze(-1) * vh[..., :rank, :]) @ inner.Q.mT


def narrower_heads(
    weights: list[Tensor], biases: list[Tensor], output: Tensor, size: int
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Heads of a smaller size with the nearest scores and outputs, for states [z, 1] in which all numbers count alike.

    Args:
        weights: of query, key and value, each [H, s, d].
        biases: [H, s].
        output: [H, d, s].
        size: of a head now, at most s.

    Returns:
        The same with ``size`` in place of s.
    """
    old = output.shape[-1]
    if size == old:
        return weights, biases, output
    query, key, value = (torch.cat([w, b.unsqueeze(-1)], -1) for w, b in zip(weights, biases, strict=True))
    # Scores are divided by the root of the size.
    one, other = low_rank(query.mT * (size / old) ** 0.25, key * (size / old) ** 0.25, size)
    output, value = low_rank(output, value, size)
    maps = [one.mT, other, value]
    return [m[..., :-1] for m in maps], [m[..., -1] for m in maps], output
