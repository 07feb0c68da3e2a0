"""What the caches of the teacher say of the held-out windows, and what of it is kept for the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sparse_targets import largest_topk
from torch import Tensor
from transformers import GPT2LMHeadModel

from language_cache.study import BYTES, LIMIT
from limbeck.cache import CacheReader, Manifest, build, fields_of
from limbeck.functional import SparseLogits, kl_divergence

__all__ = ["codecs", "kept_bytes", "store"]


def codecs(classes: int) -> dict[str, dict[str, Any]]:
    """The section of every codec, by the name of its field: ``topk_20`` and ``sampled_20`` hold 20 bytes a token."""
    topk = {f"topk_{size}": {"use": "topk", "k": largest_topk(size, classes).k} for size in (*BYTES, LIMIT)}
    return topk | {f"sampled_{size}": {"use": "sampled", "size": size} for size in BYTES}


def store(folder: Path, teacher: GPT2LMHeadModel, windows: Tensor, batch_size: int) -> CacheReader:
    """A cache of the teacher's logits for every window, with all codecs side by side."""
    named = codecs(teacher.config.vocab_size)

    @torch.no_grad()
    def outputs(rows: Tensor, _: Tensor) -> dict[str, Tensor]:
        logits = teacher(input_ids=windows[rows, :-1], use_cache=False).logits
        return dict.fromkeys(named, logits)

    first = torch.zeros(1, dtype=torch.int64)
    fields = fields_of(outputs(first, first), named)
    build(folder, Manifest(fields, rows=len(windows), batch_size=batch_size), outputs)
    return CacheReader(folder)


def kept_bytes(student: Tensor, teacher: Tensor | SparseLogits) -> int:
    """Bytes that kl_divergence keeps for the backward pass, beside the student's logits."""
    kept: dict[int, int] = {}
    keep: Callable[[Tensor], Tensor] = lambda tensor: _counted(kept, tensor)  # noqa: E731
    logits = student.detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        kl_divergence(logits, teacher).sum()
    kept.pop(logits.untyped_storage().data_ptr(), None)
    return sum(kept.values())


def _counted(kept: dict[int, int], tensor: Tensor) -> Tensor:
    kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return tensor
