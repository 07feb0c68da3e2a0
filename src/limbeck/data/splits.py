"""Training, validation and test rows of one source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from limbeck.data.rows.row_set import Rows
from limbeck.data.stratified import choose
from limbeck.errors import ArgumentError, DataError
from limbeck.hashing import derive

__all__ = ["Splits", "split"]

_TEST, _VALIDATION, _LIMIT = range(3)

Set = TypeVar("Set", bound=Rows)


@runtime_checkable
class _Stratified(Protocol):
    def draw(self, rows: Tensor, count: int, seed: int) -> Tensor: ...


@dataclass(frozen=True)
class Splits(Generic[Set]):
    """Three sets without a row in common; validation may be empty."""

    train: Set
    validation: Set
    test: Set


def split(
    source: Mapping[str, Set], *, validation: float, test: float, seed: int, limit: int | None = None
) -> Splits[Set]:
    """Divide a source into training, validation and test rows, every class or range of numbers in proportion.

    The test rows depend on (seed, test) alone and the validation rows on (seed, test, validation), so runs that differ
    in limit are measured on the same rows. A source that has its own "test" or "validation" keeps it whole, and the
    share given here for that split is not used. Rows without a label stay in training.

    Args:
        source: "train", and where the source has them "validation" and "test". Rows are drawn by the method ``draw`` of
            a set, and all alike where it has none.
        validation: share of the labelled rows of "train" in 0..1; 0 for none.
        test: share of the labelled rows of "train" in 0..1.
        seed: decides which rows go where.
        limit: how many training rows to keep; all if None.

    Raises:
        ArgumentError: if a share is out of range or leaves nothing to train on.
        DataError: if a split lacks a class, or the sets have other names, other shapes or classes, or share an index.

    >>> from limbeck.data.sources.digits import Digits
    >>> splits = split(Digits().load(), validation=0.15, test=0.2, seed=0)
    >>> len(splits.train), len(splits.validation), len(splits.test)
    (1168, 270, 359)
    """
    _check_agreement(source)
    _check_shares(source, validation, test)
    train = source["train"]
    rows = train.labelled.nonzero().squeeze(1)
    total = len(rows)
    sets: dict[str, Set] = {}
    for name, share, word in (("test", test, _TEST), ("validation", validation, _VALIDATION)):
        if name in source:
            sets[name] = source[name]
            continue
        chosen = _draw(name, train, rows, round(share * total), derive(seed, word))
        sets[name] = train.subset(chosen)
        rows = rows[~torch.isin(rows, chosen)]
    rows = torch.cat((rows, (~train.labelled).nonzero().squeeze(1))).sort().values
    if limit is not None:
        rows = _draw("training (limit)", train, rows, limit, derive(seed, _LIMIT))
    sets["train"] = train.subset(rows)
    _check_classes(sets)
    return Splits(**sets)


def _draw(name: str, data: Rows, rows: Tensor, count: int, seed: int) -> Tensor:
    if count == 0:
        return rows[:0]
    try:
        if isinstance(data, _Stratified):
            return data.draw(rows, count, seed)
        return rows[choose(torch.zeros_like(rows), count, seed)]
    except DataError as error:
        option = name if name in ("validation", "test") else "limit"
        raise DataError(f"{name} split: {error}", code=error.code, path=option) from error


def _check_shares(source: Mapping[str, Rows], validation: float, test: float) -> None:
    if not 0 <= validation < 1:
        raise ArgumentError(f"validation is {validation}; expected a share from 0 to below 1", path="validation")
    if "test" not in source and not 0 < test < 1:
        raise ArgumentError(
            f"test is {test}; expected a share between 0 and 1, as the source has no test set of its own", path="test"
        )
    drawn = (0 if "validation" in source else validation) + (0 if "test" in source else test)
    if drawn >= 1:
        raise ArgumentError(
            f"validation {validation} and test {test} leave no rows to train on; make them smaller",
            code="conflict",
            path="validation",
        )


def _check_agreement(source: Mapping[str, Rows]) -> None:
    if "train" not in source or not set(source) <= {"train", "validation", "test"}:
        raise DataError(
            f"the source has the sets {sorted(source)}; expected train, and optionally validation and test",
            code="unknown_name",
            path="source",
        )
    train = source["train"]
    for name, data in source.items():
        for what in ("shape", "classes", "targets", "columns"):
            own, expected = getattr(data, what, ()), getattr(train, what, ())
            if own != expected and what == "shape":
                raise DataError(
                    f"{name} rows have shape {own}, train rows {expected}; expected the same",
                    code="mismatch",
                    path=name,
                )
            if own != expected:
                raise DataError(
                    f"{name} has {what} {own}, train has {expected}; expected the same", code="mismatch", path=name
                )
    index = torch.cat([data.index for data in source.values()])
    if len(torch.unique(index)) < len(index):
        raise DataError(
            f"the sets {', '.join(source)} share an index; expected one number per row of the source",
            code="duplicate",
            path="index",
        )


def _check_classes(sets: Mapping[str, Rows]) -> None:
    for name, data in sets.items():
        missing = getattr(data, "lacking", ())
        if (name == "validation" and not len(data)) or not missing:
            continue
        raise DataError(
            f"the {name} split of {len(data)} rows has no row of class {', '.join(map(repr, missing))}; "
            "give the class more rows or change the shares",
            code="too_few",
            path=name,
        )
