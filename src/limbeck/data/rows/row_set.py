"""What row sets have in common, whatever their rows and labels are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from limbeck.data.labels.classes import UNKNOWN
from limbeck.data.labels.label_type import FloatTarget
from limbeck.data.stratified import choose, merged, quantile_bins, rarest
from limbeck.errors import ArgumentError, DataError
from limbeck.functional import inverse_frequency

__all__ = ["UNKNOWN", "LabelledRows", "RowSet", "Rows", "check_labels", "class_weights", "known", "unknown_target"]


def known(target: Tensor) -> Tensor:
    """Bool `[N]`: the rows of which something is known, of targets `[N, …]`."""
    is_known = ~target.isnan() if target.is_floating_point() else target != UNKNOWN
    return is_known.flatten(1).any(1) if target.ndim > 1 else is_known


def unknown_target(like: Tensor, rows: int) -> Tensor:
    """Targets of so many rows that are not known: -100, or NaN where targets are floats.

    >>> unknown_target(torch.zeros(5, 2), 1)
    tensor([[nan, nan]])
    """
    return like.new_full((rows, *like.shape[1:]), torch.nan if like.is_floating_point() else UNKNOWN)


class Rows(Protocol):
    """What a set of rows has at least."""

    @property
    def index(self) -> Tensor:
        """Int64 `[N]`: the number of each row in its source."""

    @property
    def labelled(self) -> Tensor:
        """Bool `[N]`: the rows whose label is known."""

    def __len__(self) -> int: ...

    def subset(self, rows: Tensor) -> Self:
        """The set with these rows (int64 `[B]`) only, in this order; each keeps its index."""


class RowSet(Rows, Protocol):
    """A set of rows with targets."""

    @property
    def target(self) -> Tensor: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; none where targets are floats."""

    @property
    def targets(self) -> tuple[FloatTarget, ...]:
        """The names and units of float targets; none where there are classes."""

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


class LabelledRows:
    """Base of sets with ``target``, ``index``, ``classes`` and ``targets``.

    A target is a class, int64 `[N]`; a 0 or 1 for each class, int64 `[N, K]`; or one or several numbers, float32 `[N]`
    or `[N, K]`. It is -100, or NaN among floats, where it is not known.
    """

    target: Tensor
    index: Tensor
    classes: tuple[str, ...]
    targets: tuple[FloatTarget, ...] = ()

    def __len__(self) -> int:
        return len(self.target)

    @property
    def labelled(self) -> Tensor:
        """Bool `[N]`: the rows whose label is known; of several numbers, at least one."""
        return known(self.target)

    @property
    def strata(self) -> Tensor:
        """Int64 `[N]`: the class of each row; of several, the `rarest`, and K for a row of none; of numbers, the bin
        by `quantile_bins`. -100 where the label is not known."""
        if self.target.is_floating_point():
            return quantile_bins(self.target)
        if self.target.ndim == 1:
            return self.target
        return rarest(self.target == 1).where(self.labelled, UNKNOWN)

    @property
    def counts(self) -> Tensor:
        """Int64 `[K]`: how many rows have each class."""
        if self.target.is_floating_point():
            return self.index.new_zeros(0)
        if self.target.ndim > 1:
            return (self.target == 1).sum(0)
        return torch.bincount(self.target[self.labelled], minlength=len(self.classes))

    @property
    def lacking(self) -> list[str]:
        """The classes without a row."""
        return [name for name, count in zip(self.classes, self.counts.tolist(), strict=True) if not count]

    def draw(self, rows: Tensor, count: int, seed: int) -> Tensor:
        """So many of these rows (int64 `[B]`), every stratum in proportion, by `choose`."""
        strata = self.strata[rows]
        if self.target.is_floating_point():
            strata = merged(strata, count)
        return rows[choose(strata, count, seed)]

    def with_labels(self, count: int, seed: int) -> tuple[Self, Tensor]:
        """The set with count labels kept, every stratum in proportion, and all other targets unknown.

        Args:
            count: how many labels to keep.
            seed: decides which.

        Returns:
            The set, and bool `[N]`: the rows that keep their label.

        Raises:
            ArgumentError: if count is larger than the number of labelled rows or smaller than that of classes.
        """
        labelled = self.labelled.nonzero().squeeze(1)
        if not max(1, len(self.classes)) <= count <= len(labelled):
            least = f"{len(self.classes)} (one per class)" if self.classes else "1"
            raise ArgumentError(
                f"cannot keep {count} labels of {len(labelled)} labelled rows in {len(self.classes)} classes: "
                f"expected a number from {least} to {len(labelled)}",
                path="labels",
            )
        kept = torch.zeros(len(self), dtype=torch.bool)
        kept[self.draw(labelled, count, seed)] = True
        target = self.target.clone()
        target[~kept] = unknown_target(target, 1)
        return self._replaced(target=target), kept

    def encoded_like(self, other: Self) -> Self:
        """The same rows as the other set encodes them: here as they are."""
        return self

    def without_labels(self) -> Self:
        """The same rows, none of whose targets is known."""
        return self._replaced(target=unknown_target(self.target, len(self)))

    def _replaced(self, **columns: Tensor) -> Self:
        changed: Any = replace(self, **columns)  # type: ignore[type-var]
        return changed  # type: ignore[no-any-return]


def _check_indicators(target: Tensor) -> None:
    wrong = (((target != 0) & (target != 1)).any(1) & (target != UNKNOWN).any(1)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"row {row} has target {target[row].tolist()}; expected a 0 or 1 for each class, or {UNKNOWN} for all "
            "where its classes are not known",
            code="out_of_range",
            path=f"row {row}",
        )


def check_labels(
    what: str,
    rows: int,
    target: Tensor,
    index: Tensor,
    classes: tuple[str, ...],
    targets: tuple[FloatTarget, ...] = (),
) -> None:
    """Refuse targets, numbers and class names that do not belong to these rows.

    Args:
        what: one row, for messages: ``"image"``.
        rows: how many there are.
        target: of each row.
        index: the number of each row in its source.
        classes: the names of the classes.
        targets: names and units of float targets.

    Raises:
        DataError: if lengths or types disagree, a target is out of range, a number is there twice, or there are fewer
            than two classes.
    """
    floats = target.is_floating_point() and not classes
    width = len(targets) if floats else len(classes)
    # One number may stand without an axis of its own.
    plain: list[tuple[int, ...]] = [] if floats and width > 1 else [(rows,)]
    wide: list[tuple[int, ...]] = [] if floats and width == 0 else [(rows, width)]
    shapes: dict[str, list[tuple[int, ...]]] = {"target": plain + wide, "index": [(rows,)]}
    types = {"target": torch.float32 if floats else torch.int64, "index": torch.int64}
    for name, column in (("target", target), ("index", index)):
        if column.dtype != types[name] or column.shape not in shapes[name]:
            raise DataError(
                f"{name} has type {column.dtype} and shape {tuple(column.shape)}; expected {types[name]} of shape "
                f"{' or '.join(str(shape) for shape in shapes[name])}, one number per {what}"
                f"{', or a 0 or 1 for each class' if name == 'target' and not floats else ''}",
                code="wrong_type" if column.dtype != types[name] else "wrong_shape",
                path=name,
            )
    if floats:
        _check_floats(target)
    else:
        _check_classes(target, classes)
    if len(torch.unique(index)) < len(index):
        raise DataError(
            "index holds a number twice; expected one number per row of the source", code="duplicate", path="index"
        )


def _check_floats(target: Tensor) -> None:
    wrong = target.isinf().nonzero()
    if len(wrong):
        raise DataError(
            f"row {int(wrong[0][0])} has an infinite target; expected a number, or NaN where it is unknown",
            code="not_finite",
            path=f"row {int(wrong[0][0])}",
        )


def _check_classes(target: Tensor, classes: tuple[str, ...]) -> None:
    if len(classes) < 2 and bool((target != UNKNOWN).any()):
        raise DataError(
            f"the data has {len(classes)} class(es), {classes}; expected at least 2", code="too_few", path="classes"
        )
    if len(set(classes)) < len(classes):
        raise DataError(
            f"the class names {classes} hold a name twice; expected each once", code="duplicate", path="classes"
        )
    if target.ndim > 1:
        _check_indicators(target)
    wrong = ((target != UNKNOWN) & ((target < 0) | (target >= len(classes)))).nonzero()
    if len(wrong):
        row = int(wrong[0][0])
        raise DataError(
            f"row {row} has target {int(target[row])}; expected 0..{len(classes) - 1}, or {UNKNOWN} "
            "where the class is not known",
            code="out_of_range",
            path=f"row {row}",
        )


def class_weights(data: RowSet) -> Tensor:
    """For each row the weight of its stratum, float32 `[N]`, by inverse frequency; 1 where it is not known.

    Where a row has one class, that is its stratum. Where targets are floats, every weight is 1.
    """
    strata, labelled = data.strata, data.labelled
    if not labelled.any() or data.target.is_floating_point():
        return torch.ones(len(data))
    # One more than the classes: rows may have none.
    weights = inverse_frequency(strata, classes=len(data.classes) + 1)
    return weights[strata.clamp(min=0)].where(labelled, 1.0)
