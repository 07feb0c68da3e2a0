"""The gradients of the student's head and hidden states, with everything the teacher says and with what was kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sparse_targets import largest_topk, logit_gradient
from torch import Tensor
from transformers import GPT2LMHeadModel

from language_cache.study import Study
from limbeck.cache import CacheReader, Sampled
from limbeck.cache.codecs import Codec
from limbeck.functional import SparseLogits
from limbeck.measure.intervals import student_t

__all__ = ["Batch", "Drawn", "Kept", "Mean", "batch_of", "mean_of", "measured", "unbiased"]

_probes = 64


class Batch(NamedTuple):
    """The tokens of some windows.

    Args:
        teacher: its logits, `[N, V]`.
        student: its logits, `[N, V]`.
        hidden: what the student's head reads, `[N, D]`.
        head: its weight, `[V, D]`.
    """

    teacher: Tensor
    student: Tensor
    hidden: Tensor
    head: Tensor


class Mean(NamedTuple):
    """A mean over batches, and half the width of its 95% interval by Student's t."""

    value: float
    half: float


class Kept(NamedTuple):
    """What a codec kept, and what its gradients are worth.

    Args:
        classes: that are there, a token.
        mass: the teacher's probability of these.
        hidden: cosine of the gradient with respect to a token's hidden state, mean over tokens.
        head: cosine of that with respect to the head's weight, from one batch.
        whole: likewise, from all batches together.
    """

    classes: float
    mass: float
    hidden: Mean
    head: Mean
    whole: float


class Drawn(NamedTuple):
    """The mean of the head's gradient over many draws against that with all classes.

    Args:
        distance: between the two, in parts of the length of the latter.
        expected: of an unbiased mean: the root of the summed variances over the number of draws, in the same parts.
        largest: z of the one in which it is largest among 64 random directions.
        topk: the distance of `topk` with the same bytes.
    """

    distance: float
    expected: float
    largest: float
    topk: float


@torch.no_grad()
def batch_of(teacher: GPT2LMHeadModel, student: GPT2LMHeadModel, windows: Tensor) -> Batch:
    inputs = windows[:, :-1]
    found = student(input_ids=inputs, use_cache=False, output_hidden_states=True)
    logits = teacher(input_ids=inputs, use_cache=False).logits
    flat = (logits.flatten(0, 1), found.logits.flatten(0, 1), found.hidden_states[-1].flatten(0, 1))
    return Batch(*flat, student.lm_head.weight.detach())


def measured(batches: Iterable[tuple[Batch, Tensor]], store: CacheReader, fields: Sequence[str]) -> dict[str, Kept]:
    """What the fields of a cache are worth, by name; ``NAME without its tail`` leaves out what topk says of the rest.

    Args:
        batches: each with the rows of its windows in the cache.
        store: the cache.
        fields: names.
    """
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    exact, wholes = torch.zeros(()), dict[str, Tensor]()
    for batch, rows in batches:
        of_logits = logit_gradient(batch.student, batch.teacher)
        hidden, head = of_logits @ batch.head, of_logits.T @ batch.hidden
        exact = exact + head
        for name, target in _targets(store, rows, fields).items():
            own = logit_gradient(batch.student, target)
            own_head = own.T @ batch.hidden
            wholes[name] = wholes.get(name, 0) + own_head
            there = target.values.isfinite()
            mass = batch.teacher.softmax(-1).gather(-1, target.indices).where(there, 0).sum(-1)
            of_tokens = torch.cosine_similarity(own @ batch.head, hidden).mean()
            kept = (there.sum(-1).float().mean(), mass.mean(), of_tokens, _cosine(own_head, head))
            found.setdefault(name, []).append(tuple(map(float, kept)))  # type: ignore[arg-type]
    means = {name: [mean_of(column) for column in zip(*values, strict=True)] for name, values in found.items()}
    return {
        name: Kept(classes.value, mass.value, hidden, head, float(_cosine(wholes[name], exact)))
        for name, (classes, mass, hidden, head) in means.items()
    }


def _targets(store: CacheReader, rows: Tensor, fields: Sequence[str]) -> dict[str, SparseLogits]:
    found = {}
    for name, target in store.read(rows, torch.zeros_like(rows), fields).items():
        assert isinstance(target, SparseLogits)
        tail = None if target.tail is None else target.tail.flatten()
        flat = target._replace(indices=target.indices.flatten(0, 1), values=target.values.flatten(0, 1), tail=tail)
        found[name] = flat
        if tail is not None:
            found[f"{name} without its tail"] = flat._replace(tail=None)
    return found


def mean_of(values: Sequence[float]) -> Mean:
    several = torch.tensor(values, dtype=torch.float64)
    if len(values) < 2:
        return Mean(float(several.mean()), math.nan)
    deviation = float(several.std()) / math.sqrt(len(values))
    return Mean(float(several.mean()), deviation * float(student_t(len(values) - 1, np.array(0.975))))


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return torch.cosine_similarity(one.flatten(), other.flatten(), dim=0)


def unbiased(batch: Batch, size: int, study: Study) -> Drawn:
    """The mean over many draws of `sampled`, each with a seed of its own, against the gradient with all classes."""
    exact = logit_gradient(batch.student, batch.teacher).T @ batch.hidden
    signs = torch.Generator().manual_seed(study.seed)
    left, right = (torch.randint(0, 2, (_probes, n), generator=signs) * 2.0 - 1 for n in exact.shape)
    total, squares, probes = torch.zeros_like(exact), torch.zeros_like(exact), []
    for seed in range(study.draws):
        # The difference from the exact one: nothing is lost of small variances.
        difference = _head_gradient(batch, Sampled(size=size, seed=seed)) - exact
        total, squares = total + difference, squares + difference.square()
        probes.append(((left @ difference) * right).sum(1))
    mean, several = total / study.draws, torch.stack(probes)
    variance = (squares / study.draws - mean.square()).sum() / (study.draws - 1)
    z = several.mean(0) / (several.std(0) / math.sqrt(study.draws))
    topk = _head_gradient(batch, largest_topk(size, exact.shape[0])) - exact
    length = exact.norm()
    found = (mean.norm() / length, variance.sqrt() / length, z.abs().max(), topk.norm() / length)
    return Drawn(*map(float, found))


def _head_gradient(batch: Batch, codec: Codec) -> Tensor:
    shape = batch.teacher.shape[1:]
    encoded = codec.encode(batch.teacher, 0)
    one_shard = torch.zeros(len(batch.teacher), dtype=torch.int64).numpy()
    found = codec.decode(encoded.rows, encoded.rows[:1, :0], one_shard, tuple(shape))
    return logit_gradient(batch.student, found).T @ batch.hidden
