"""Weights that bring the gradients of all terms to one norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from limbeck.core.addresses import Address, Board, parameter_path, resolve, source_of
from limbeck.core.balance import Weights
from limbeck.core.processes import summed
from limbeck.core.term import Mean
from limbeck.errors import ArgumentError, suggest
from limbeck.losses.traced_autograd import check_traced, is_of_compiled_graph
from limbeck.registry import register

__all__ = ["GradientNorm"]

# As a share of the largest norm. Where a student agrees with its teacher, the gradient is what rounding has left of it.
_rounding = 1e-6


@register("balance", "gradient_norm")
class GradientNorm(nn.Module):
    r"""Weighs terms so that their gradients with respect to one tensor have the same norm.

    .. math:: w_k = \frac{1 / n_k}{\sum_j 1 / n_j}, \qquad n_k = \Big\lVert \frac{\partial L_k}{\partial A} \Big\rVert_2

    with the mean :math:`L_k` of term k over the whole batch, before its own weight, and the named tensor A of the whole
    batch. The factors sum to 1. For two terms they are :math:`\alpha = n_{hard} / (n_{hard} + n_{soft})` for the soft
    one and :math:`1 - \alpha` for the hard one. A term's own weight multiplies on top, so that the gradients stand to
    each other as these weights do: leave them at 1 for equal norms.

    The norms are measured in forward in every ``every``-th optimizer step, summed over micro-batches and processes as
    ``sqrt(Σ ‖∂ sum_k / ∂A‖²) / count_k``, and smoothed by an exponential mean with bias correction. The weights that
    follow from them are in force from the next step on. A gradient that is 0, within rounding (10⁻⁶ of the largest), or
    not finite leaves its term's norm as it was; a term without any norm yet has the weight 1 / K of K terms, and the
    others share what is left.

    Measuring costs one backward pass from each term to the tensor. ``torch.compile`` of the whole Distiller traces it
    if ``torch._dynamo.config.trace_autograd_ops`` is True.

    Args:
        at: the address of an output or a tap of a student that all balanced terms are computed from.
        every: optimizer steps from one measurement to the next, at least 1.
        smoothing: β of the exponential mean of the norms, at least 0 and below 1.
        terms: the names of the terms to balance, at least two; all by default. The others have the factor 1.

    Raises:
        ArgumentError: if an argument is out of range, or ``at`` names a parameter: its gradient is a sum over the rows,
            whose norm cannot be put together from micro-batches.

    Chen, Badrinarayanan, Lee and Rabinovich, 2018, "GradNorm: Gradient Normalization for Adaptive Loss Balancing in
    Deep Multitask Networks", arXiv:1711.02257, is where equal norms come from. It learns the weights by gradient steps,
    at the last shared weights, with a rate for each term; here they are computed, at a tensor, and all rates are equal.

    >>> balance = GradientNorm(every=10)
    >>> balance.bind(["student"], ["hard", "soft"])
    >>> balance.factors
    tensor([0.5000, 0.5000])
    """

    factors: Tensor
    norms: Tensor
    measured: Tensor

    def __init__(
        self,
        *,
        at: Address = "student.logits",
        every: int = 1,
        smoothing: float = 0.9,
        terms: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if every < 1:
            raise ArgumentError(f"gradient_norm: every is {every}, expected at least 1 optimizer step", path="every")
        if not 0.0 <= smoothing < 1.0:
            raise ArgumentError(
                f"gradient_norm: smoothing is {smoothing}, expected at least 0 and below 1", path="smoothing"
            )
        if parameter_path(at) is not None:
            raise ArgumentError(
                f"gradient_norm: at={at!r} is a parameter; name an output or a tap, as 'student.logits'",
                path="at",
                code="unsupported",
            )
        self.at = at
        self.every = every
        self.smoothing = smoothing
        self.terms = None if terms is None else tuple(terms)
        self._due = True

    def bind(self, students: Sequence[str], terms: Sequence[str]) -> None:
        """Learn the names of all students and terms. A `Distiller` calls it when it is built.

        Raises:
            ArgumentError: if the student is unknown, or a term to balance is, or is named twice, or there is only one.
        """
        source = source_of(self.at)
        if source not in students:
            raise ArgumentError(
                f"gradient_norm: at={self.at!r}, no student {source!r}.{suggest(source, students)}",
                code="unknown_name",
                path="at",
            )
        for name in self.terms or ():
            if name not in terms:
                raise ArgumentError(
                    f"gradient_norm: no term {name!r}.{suggest(name, terms)}", code="unknown_name", path="terms"
                )
        terms = tuple(terms) if self.terms is None else self.terms
        if len(terms) < 2 or len(set(terms)) < len(terms):
            raise ArgumentError(
                f"gradient_norm: the terms to balance are {list(terms)}; it needs at least two, each once",
                code="too_few",
                path="terms",
            )
        self.terms = terms
        self.register_buffer("factors", torch.full((len(terms),), 1 / len(terms)))
        self.register_buffer("norms", torch.zeros(len(terms)))
        self.register_buffer("measured", torch.zeros(len(terms), dtype=torch.int64))
        # Squares, then counts. Not a buffer: each process has its own, and those of the first are broadcast.
        self._staged = torch.zeros(2, len(terms))

    def prepare(self, boards: Sequence[Board], means: Sequence[Mapping[str, Mean]]) -> None:
        """Check that every balanced term is computed from the tensor.

        Raises:
            AddressError: if the address names nothing.
            ArgumentError: if it names no floating tensor, or one that a term does not depend on.
        """
        for board, found in zip(boards, means, strict=True):
            self._measure(found, board)

    def forward(self, means: Mapping[str, Mean], board: Board) -> Weights:
        check_traced("gradient_norm")
        if self._due and self.training and torch.is_grad_enabled():
            self._staged = self._staged + self._measure(means, board)
        factors = dict(zip(self._bound, self.factors.unbind(), strict=True))
        return Weights({name: factors.get(name, 1.0) for name in means})

    @property
    def _bound(self) -> tuple[str, ...]:
        assert self.terms is not None
        return self.terms

    def _measure(self, means: Mapping[str, Mean], board: Board) -> Tensor:
        tensor = resolve(board, self.at)
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            found = str(tensor.dtype) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ArgumentError(
                f"gradient_norm: at={self.at!r} holds {found}; name one floating tensor", code="wrong_type", path="at"
            )
        squares = [self._square(name, means[name], tensor) for name in self._bound]
        counts = [means[name].count.detach() for name in self._bound]
        return torch.stack([torch.stack(squares), torch.stack(counts).float()])

    def _square(self, name: str, mean: Mean, tensor: Tensor) -> Tensor:
        gradient = None
        if mean.sum.requires_grad and tensor.requires_grad:
            (gradient,) = torch.autograd.grad(mean.sum, [tensor], retain_graph=True, allow_unused=True)
        if gradient is None:
            raise ArgumentError(
                f"gradient_norm: the term {name!r} does not depend on {self.at!r}; "
                + (
                    "its model is compiled alone: compile the whole Distiller instead"
                    if is_of_compiled_graph(tensor)
                    else "name a tensor from which all balanced terms are computed, as at='student.<tap>', or leave "
                    "the term out by terms=[…]"
                ),
                code="no_effect",
                path="at",
            )
        return gradient.detach().float().square().sum()

    def after_step(self, step: int) -> None:
        """Take the norms of this step, of all micro-batches and processes, and compute the weights from them."""
        if not self._due:
            return
        squares, counts = summed(self._staged).unbind()
        norms = squares.sqrt() / counts.clamp(min=1)
        finite = norms.isfinite()
        found = finite & (norms > _rounding * norms.where(finite, 0).max())
        self.measured += found
        self.norms.copy_(torch.lerp(norms, self.norms, self.smoothing).where(found, self.norms))
        self.factors.copy_(_factors(self._smoothed(), self.measured > 0))

    def follow_step(self, step: int) -> None:
        """Measure in this optimizer step or not, and forget what was staged before."""
        self._due = step % self.every == 0
        self._staged = torch.zeros_like(self._staged)

    def _smoothed(self) -> Tensor:
        return self.norms / (1 - self.smoothing**self.measured)

    def readings(self) -> dict[str, dict[str, float]]:
        """The smoothed norms from which the weights in force were computed, of the terms that have one."""
        known = zip(self._bound, self._smoothed().tolist(), self.measured.tolist(), strict=True)
        norms = {name: norm for name, norm, measured in known if measured}
        return {"gradient_norms": norms} if norms else {}

    def extra_repr(self) -> str:
        return f"at={self.at!r}, every={self.every}, smoothing={self.smoothing}, terms={self.terms}"

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        kept = {name: buffer for name, buffer in self._buffers.items() if buffer is not None and not buffer.is_meta}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # They move to another device, but a model that is cast to half precision must not round them.
        for name, buffer in kept.items():
            setattr(self, name, buffer.to(getattr(self, name).device))
            self._staged = self._staged.to(getattr(self, name).device)
        return self


def _factors(norms: Tensor, known: Tensor) -> Tensor:
    """Shares that are inverse to the norms; 1 / K for each term whose norm is not known."""
    # Relative to the smallest norm, so that none is too small to be inverted.
    inverse = (norms.where(known, torch.inf).min() / norms).where(known, 0)
    shares = inverse / inverse.sum() * known.float().mean()
    return shares.where(known, 1 / len(norms))
