"""What every set of rows with classes has, whatever the rows are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from limbeck.data.strata import choose, rarest
from limbeck.errors import ArgumentError, DataError
from limbeck.functional import inverse_frequency

__all__ = ["UNKNOWN", "Labelled", "RowSet", "check_labels", "class_weights", "known"]

UNKNOWN = -100
"""The target of a row whose label is not known; torch's cross-entropy ignores it by default."""


def known(target: Tensor) -> Tensor:
    """Bool `[N]`: the rows of which something is known, of targets `[N, …]`."""
    return (target != UNKNOWN).flatten(1).any(1) if target.ndim > 1 else target != UNKNOWN


class RowSet(Protocol):
    """A set of rows, labelled or not."""

    @property
    def target(self) -> Tensor: ...

    @property
    def index(self) -> Tensor: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def labelled(self) -> Tensor: ...

    @property
    def strata(self) -> Tensor:
        """Int64 `[N]`: the groups of rows that every split takes its share of; -100 where no label is known."""

    @property
    def counts(self) -> Tensor:
        """Int64 `[K]`: how many rows have each class."""

    @property
    def lacking(self) -> list[str]:
        """The classes that every split needs a row of, and that this set has none of."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row: sets of other shapes are not of one source."""

    def __len__(self) -> int: ...

    def subset(self, rows: Tensor) -> Self:
        """The set with these rows (int64 `[B]`) only, in this order; each keeps its index."""


class Labelled:
    """Sets with ``target``, ``index`` and ``classes``."""

    target: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def labelled(self) -> Tensor:
        """Bool `[N]`: the rows whose label is known."""
        return known(self.target)

    @property
    def strata(self) -> Tensor:
        """Int64 `[N]`: the class of each row; of several, the `rarest`, and K for a row of none."""
        if self.target.ndim == 1:
            return self.target
        return rarest(self.target == 1).where(self.labelled, UNKNOWN)

    @property
    def counts(self) -> Tensor:
        """Int64 `[K]`: how many rows have each class."""
        if self.target.ndim > 1:
            return (self.target == 1).sum(0)
        return torch.bincount(self.target[self.labelled], minlength=len(self.classes))

    @property
    def lacking(self) -> list[str]:
        """The classes without a row."""
        return [name for name, count in zip(self.classes, self.counts.tolist(), strict=True) if not count]

    def with_labels(self, count: int, seed: int) -> tuple[Self, Tensor]:
        """The set with count labels kept, every class in proportion, and all other targets -100.

        Args:
            count: how many labels to keep.
            seed: decides which.

        Returns:
            The set, and bool `[N]`: the rows that keep their label.

        Raises:
            ArgumentError: if count is larger than the number of labelled rows or smaller than that of classes.
        """
        labelled = self.labelled.nonzero().squeeze(1)
        if not len(self.classes) <= count <= len(labelled):
            raise ArgumentError(
                f"cannot keep {count} labels of {len(labelled)} labelled rows in {len(self.classes)} classes: "
                f"expected a number from {len(self.classes)} (one per class) to {len(labelled)}"
            )
        kept = torch.zeros(len(self), dtype=torch.bool)
        kept[labelled[choose(self.strata[labelled], count, seed)]] = True
        target = self.target.clone()
        target[~kept] = UNKNOWN
        changed: Any = replace(self, target=target)  # type: ignore[type-var]
        return changed, kept


def _check_answers(target: Tensor) -> None:
    wrong = (((target != 0) & (target != 1)).any(1) & (target != UNKNOWN).any(1)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"row {row} has target {target[row].tolist()}; expected a 0 or 1 for each class, or {UNKNOWN} for all "
            "where its classes are not known"
        )


def check_labels(what: str, rows: int, target: Tensor, index: Tensor, classes: tuple[str, ...]) -> None:
    """Refuse targets, numbers and class names that do not belong to these rows.

    Raises:
        DataError: if lengths or types disagree, a target is out of range, a number is there twice, or there are fewer
            than two classes.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {"target": [(rows,), (rows, len(classes))], "index": [(rows,)]}
    for name, column in (("target", target), ("index", index)):
        if column.dtype != torch.int64 or column.shape not in shapes[name]:
            raise DataError(
                f"{name} has type {column.dtype} and shape {tuple(column.shape)}; expected torch.int64 of shape "
                f"{' or '.join(str(one) for one in shapes[name])}, one number per {what}"
                f"{', or a 0 or 1 for each class' if name == 'target' else ''}"
            )
    if len(classes) < 2 and bool((target != UNKNOWN).any()):
        raise DataError(f"the data has {len(classes)} class(es), {classes}; expected at least 2")
    if len(set(classes)) < len(classes):
        raise DataError(f"the class names {classes} hold a name twice; expected each once")
    if target.ndim > 1:
        _check_answers(target)
    wrong = ((target != UNKNOWN) & ((target < 0) | (target >= len(classes)))).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"row {row} has target {int(target[row])}; expected 0..{len(classes) - 1}, or {UNKNOWN} "
            "where the class is not known"
        )
    if len(torch.unique(index)) < len(index):
        raise DataError("index holds a number twice; expected one number per row of the source")


def class_weights(data: RowSet) -> Tensor:
    """For each row the weight of its stratum, float32 `[N]`, by inverse frequency; 1 where it is not known.

    Where a row has one class, that is its stratum.
    """
    strata, known = data.strata, data.labelled
    if not known.any():
        return torch.ones(len(data))
    # One more than the classes: rows may have none.
    weights = inverse_frequency(strata, classes=len(data.classes) + 1)
    return weights[strata.clamp(min=0)].where(known, 1.0)
