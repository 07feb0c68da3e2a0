"""A teacher's distribution over some classes and a tail, and the student's over the same buckets."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from limbeck.errors import ArgumentError
from limbeck.losses._checks import check_temperature, shape
from limbeck.losses.precision import at_least_float32

__all__ = ["SparseLogits", "check_complete", "log_buckets", "sparse_log_probabilities"]


class SparseLogits(NamedTuple):
    """A softened distribution over C classes: K classes are listed, all others form one bucket, the tail.

    p = softmax([values, tail]): as for logits, a constant may be added to ``values`` and ``tail`` of a row. A class
    with the value −∞ has the probability 0. Without a tail, so have the classes that are not listed: either all classes
    are listed, or the distribution is an unbiased estimate from a sample.

    Args:
        indices: int64 `[*, K]`, the listed classes; a repeated class has the value −∞.
        values: `[*, K]`, logarithms of their probabilities, up to a constant per row.
        tail: `[*]`, the logarithm of the probability of all other classes together, with the same constant; or None.
        classes: C, the number of classes.
        temperature: T of the softmax of the probabilities. A loss at another temperature raises an error.

    Example:
        >>> import torch
        >>> from limbeck.functional import kl_divergence
        >>> logits = torch.tensor([[2.0, 1.0, 0.0, 0.0]])
        >>> rest = logits[:, 2:].logsumexp(-1)
        >>> teacher = SparseLogits(torch.tensor([[0, 1]]), logits[:, :2], rest, classes=4)
        >>> kl_divergence(torch.zeros(1, 4), teacher), kl_divergence(torch.zeros(1, 4), logits)
        (tensor([0.3376]), tensor([0.3376]))
    """

    indices: Tensor
    values: Tensor
    tail: Tensor | None
    classes: int
    temperature: float = 1.0


def sparse_log_probabilities(
    operation: str, student: Tensor, teacher: SparseLogits, temperature: float | Tensor, standardize: bool
) -> tuple[Tensor, Tensor]:
    """log q of the student and log p of the teacher over the teacher's buckets: its K classes, and the tail if any.

    Both are finite: the logarithm of a probability of 0 is the smallest finite number, so that it counts 0 in a mean.

    Raises:
        ArgumentError: if classes, shapes or temperatures do not fit, or with ``standardize``.
    """
    _check(operation, student, teacher, temperature, standardize)
    log_q = log_buckets(student, teacher.indices, teacher.temperature, tail=teacher.tail is not None)
    scores = at_least_float32(teacher.values)
    if teacher.tail is not None:
        scores = torch.cat([scores, at_least_float32(teacher.tail)[..., None]], dim=-1)
    log_p = scores.log_softmax(dim=-1)
    return log_q.clamp(min=torch.finfo(log_q.dtype).min), log_p.clamp(min=torch.finfo(log_p.dtype).min)


def log_buckets(logits: Tensor, indices: Tensor, temperature: float, *, tail: bool) -> Tensor:
    """Logarithms of the softened probabilities of some classes, and of the sum over all other classes.

    z_c / T − Z for each class c that is listed, with Z = log Σ_j exp(z_j / T); last Z' − Z, with Z' over the classes
    that are not listed. Z' is computed as a sum, because 1 − Σ_c q_c would round a small tail to 0.

    Args:
        logits: `[*, C]`, the only tensor of this size that is kept for the backward pass.
        indices: int64 `[*, K]`.
        temperature: T, a number above 0.
        tail: whether to return the tail.

    Returns:
        `[*, K + 1]`, or `[*, K]` without the tail, in at least float32.

    Example:
        >>> logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()
        >>> log_buckets(logits, torch.tensor([1, 0]), 1.0, tail=True).exp()
        tensor([0.2500, 0.5000, 0.2500])
    """
    buckets: Tensor = _LogBuckets.apply(at_least_float32(logits), indices, temperature, tail)
    return buckets


class _LogBuckets(torch.autograd.Function):
    # Written as a function, because autograd would keep two tensors of the vocabulary's size: the logits and those of
    # the tail.
    @staticmethod
    def forward(ctx: Any, logits: Tensor, indices: Tensor, temperature: float, tail: bool) -> Tensor:
        ctx.temperature, ctx.tail = temperature, tail
        scaled = logits / temperature
        buckets, total = scaled.gather(-1, indices), scaled.logsumexp(-1, keepdim=True)
        others = total
        if tail:
            others = scaled.scatter_(-1, indices, -math.inf).logsumexp(-1, keepdim=True)
            buckets = torch.cat([buckets, others], dim=-1)
        ctx.save_for_backward(logits, indices, total, others)
        return buckets - total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        logits, indices, total, others = ctx.saved_tensors
        of_listed = gradient[..., : indices.shape[-1]]
        total_gradient = -gradient.sum(-1, keepdim=True)
        scaled = logits / ctx.temperature
        at_listed = (scaled.gather(-1, indices) - total).exp_().mul_(total_gradient)
        factor = gradient[..., -1:] + total_gradient * (others - total).exp() if ctx.tail else total_gradient
        # Where the tail is small, this overflows for the listed classes, whose values are overwritten.
        result = scaled.sub_(others).exp_().mul_(factor)
        result.scatter_(-1, indices, at_listed).scatter_add_(-1, indices, of_listed)
        return result.div_(ctx.temperature), None, None, None


def check_complete(operation: str, teacher: SparseLogits) -> None:
    """Reject a distribution that is 0 for the classes that it does not list."""
    listed = teacher.indices.shape[-1]
    if teacher.tail is None and listed < teacher.classes:
        raise ArgumentError(
            f"{operation}: the teacher's sparse logits list {listed} of {teacher.classes} classes and have no tail, so "
            "the divergence is infinite; use kl_divergence, or a codec that keeps the tail's mass, as topk does",
            code="unsupported",
            path="teacher",
        )


def _check(
    operation: str, student: Tensor, teacher: SparseLogits, temperature: float | Tensor, standardize: bool
) -> None:
    check_temperature(operation, temperature)
    if standardize:
        raise ArgumentError(
            f"{operation}: standardize needs all logits of the teacher, and sparse ones list "
            f"{teacher.indices.shape[-1]} of {teacher.classes} classes; leave it out, or use a codec that keeps all",
            code="unsupported",
            path="standardize",
        )
    if isinstance(temperature, Tensor):
        raise ArgumentError(
            f"{operation}: the temperature moves or is learned, and the teacher's sparse logits are stored at "
            f"{teacher.temperature}; give that number, or use a codec that keeps all logits",
            code="unsupported",
            path="temperature",
        )
    if temperature != teacher.temperature:
        raise ArgumentError(
            f"{operation}: temperature is {temperature}, and the teacher's sparse logits are stored at "
            f"{teacher.temperature}; use that one, or store them at {temperature}",
            code="mismatch",
            path="temperature",
        )
    if student.ndim == 0 or student.shape[-1] != teacher.classes or not student.is_floating_point():
        raise ArgumentError(
            f"{operation}: student is {student.dtype} of shape {shape(student)}, expected floating logits "
            f"[*, {teacher.classes}], as the teacher's sparse logits are over {teacher.classes} classes",
            code="wrong_shape",
            path="student",
        )
    rows, tail = student.shape[:-1], teacher.tail
    fits = teacher.indices.shape == teacher.values.shape and teacher.indices.shape[:-1] == rows
    if not fits or (tail is not None and tail.shape != rows):
        raise ArgumentError(
            f"{operation}: student has shape {shape(student)}, the teacher's indices {shape(teacher.indices)}, values "
            f"{shape(teacher.values)} and tail {None if tail is None else shape(tail)}, expected [*, C], [*, K], "
            f"[*, K] and [*]; give both the same rows",
            code="wrong_shape",
            path="student",
        )
