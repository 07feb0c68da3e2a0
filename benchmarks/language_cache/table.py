"""What was found, in Markdown."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from sparse_targets import largest_topk

from language_cache.gradients import Drawn, Kept, Mean
from language_cache.study import LIMIT, Study

__all__ = ["LARGE", "Found", "section"]

LARGE = 131_072


@dataclass(frozen=True)
class Found:
    """All figures of a run.

    Args:
        tokens: that were measured.
        batch: tokens of a batch.
        perplexities: on the held-out windows, by model.
        entropy: the mean of the teacher's, in nats.
        kept: name of the codec with its bytes -> what it kept.
        drawn: bytes -> the mean over draws.
        memory: name of the codec, or "all" -> bytes a token that are kept for the backward pass.
    """

    tokens: int
    batch: int
    perplexities: Mapping[str, float]
    entropy: float
    kept: Mapping[str, Kept]
    drawn: Mapping[int, Drawn]
    memory: Mapping[str, float]


def section(study: Study, found: Found) -> str:
    """The part of the page that holds the figures."""
    return "\n\n".join(
        [_heading(study, found), _curve(found), _at_limit(study, found), _draws(study, found), _machine()]
    )


def _heading(study: Study, found: Found) -> str:
    models = ", ".join(f"{name} {value:.0f}" for name, value in found.perplexities.items())
    return (
        f"{study.vocabulary:,} tokens of a byte-level BPE; {found.tokens:,} held-out tokens in batches of "
        f"{found.batch:,}. Perplexity there: {models}. The teacher's entropy is {found.entropy:.2f} nats a token."
    )


def _curve(found: Found) -> str:
    head = [
        "bytes per token",
        "codec",
        "classes",
        "mass",
        "hidden states, by token",
        f"head, {found.batch:,} tokens",
        f"head, {found.tokens:,} tokens",
    ]
    rows = [_kept(name, found.kept[name]) for name in sorted(found.kept, key=_size) if _size(name) != LIMIT]
    return _table(head, "rlrrrrr", rows)


def _kept(name: str, kept: Kept) -> list[str]:
    codec, _, rest = name.partition("_")
    tail = rest.partition(" ")[2]
    return [
        str(_size(name)),
        f"`{codec}`{' ' if tail else ''}{tail}",
        f"{kept.classes:.1f}",
        f"{kept.mass:.3f}",
        _mean(kept.hidden),
        _mean(kept.head),
        f"{kept.whole:.4f}",
    ]


def _size(name: str) -> int:
    return int(name.partition("_")[2].partition(" ")[0])


def _mean(mean: Mean) -> str:
    return f"{mean.value:.4f} ± {mean.half:.4f}"


def _at_limit(study: Study, found: Found) -> str:
    kept = found.kept[f"topk_{LIMIT}"]
    memory = ", ".join(f"{name} {size:,.0f}" for name, size in found.memory.items())
    return (
        f"In {LIMIT} bytes, `topk` keeps {kept.classes:.0f} of {study.vocabulary:,} classes, with {kept.mass:.3f} of "
        f"the teacher's mass, and {largest_topk(LIMIT, LARGE).k} of {LARGE:,}. Kept for the backward pass beside the "
        f"student's logits, which are {4 * study.vocabulary:,} bytes a token: {memory}."
    )


def _draws(study: Study, found: Found) -> str:
    head = ["bytes per token", "mean of the draws", "expected", "largest z of 64", "`topk`"]
    rows = [
        [str(size), f"{one.distance:.4f}", f"{one.expected:.4f}", f"{one.largest:.1f}", f"{one.topk:.4f}"]
        for size, one in found.drawn.items()
    ]
    told = (
        f"`sampled`, {study.draws} draws for {study.checked * study.context} tokens: how far the mean of the head's "
        "gradient is from the one with all classes, in parts of its length; how far an unbiased mean is expected to "
        "be; and the largest z among 64 random directions. Beside it, how far `topk` is."
    )
    return f"{told}\n\n{_table(head, 'rrrrr', rows)}"


def _table(head: Iterable[str], sides: str, rows: Iterable[Iterable[str]]) -> str:
    rule = ["---:" if side == "r" else "---" for side in sides]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _machine() -> str:
    return f"Computed with torch {torch.__version__.partition('+')[0]} on {platform.machine()}, in one thread."
