"""Which rows, and which entries of them, a term counts."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from limbeck.core._masks import align
from limbeck.core.addresses import Address, Outputs, resolve, source_of
from limbeck.errors import ArgumentError

__all__ = ["RowMask", "check_mask", "row_mask"]

_unknown_target = -100
_labelled = "batch.labelled"


class RowMask(NamedTuple):
    """The rows that count, ``[B]`` or ``[B, T]``, and the entries of a floating target that are known, ``[B, *]``.

    Either is None where everything counts.
    """

    rows: Tensor | None
    entries: Tensor | None

    def of(self, axes: int | None = None) -> Tensor | None:
        """Both as one mask, for a loss with so many axes: it counts a row only if all of its entries are known."""
        entries = self.entries
        if entries is not None and axes is not None and entries.ndim > axes:
            entries = entries.flatten(axes).all(-1)
        return _both(self.rows, entries)


def row_mask(batch: Outputs, target: Address | None, where: Address | None, *, each_class: bool) -> RowMask:
    """What a term counts of a batch.

    Args:
        batch: the batch.
        target: the address that the loss's target reads, if it has one.
        where: the term's own mask in the batch.
        each_class: the target has a number for each class, and a row of them is known as a whole.
    """
    rows = entries = None
    if target is not None and source_of(target) == "batch":
        rows, entries = _known(resolve({"batch": batch}, target), each_class)
        if where != _labelled:
            rows = _both(rows, _chosen(batch, _labelled))
    if where is not None:
        rows = _both(rows, _chosen(batch, where))
    return RowMask(rows, entries)


def check_mask(batch: Outputs, where: Address) -> None:
    """Refuse integers other than 0 and 1. Only before training: reading values waits for the device."""
    mask = _read(batch, where)
    if mask is not None and mask.dtype != torch.bool and not ((mask == 0) | (mask == 1)).all():
        raise ArgumentError(
            f"where={where!r} holds values from {mask.min()} to {mask.max()}; a mask is torch.bool, or "
            "integers 0 and 1",
            path="where",
        )


def _known(target: Any, each_class: bool) -> tuple[Tensor | None, Tensor | None]:
    """The rows of a target that are known, or else its known entries. Lists of boxes and the like do not say."""
    if not isinstance(target, Tensor) or target.dtype == torch.bool:
        return None, None
    if target.is_floating_point() or target.is_complex():
        known = ~target.isnan()
        return (known, None) if known.ndim < 2 else (None, known)
    known = target != _unknown_target
    return known.all(-1) if each_class else known, None


def _chosen(batch: Outputs, where: Address) -> Tensor | None:
    mask = _read(batch, where)
    return None if mask is None else mask != 0


def _read(batch: Outputs, where: Address) -> Tensor | None:
    # A loop of one's own may leave it out: then every row counts as labelled.
    if where == _labelled and "labelled" not in batch:
        return None
    mask: Tensor = resolve({"batch": batch}, where)
    if mask.is_floating_point() or mask.is_complex():
        raise ArgumentError(
            f"where={where!r} holds {mask.dtype}; a mask is torch.bool, or integers 0 and 1",
            code="wrong_type",
            path="where",
        )
    return mask


def _both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return align(other, one) & align(one, other)
