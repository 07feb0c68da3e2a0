"""Which rows a task's models train on, choose by and are measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from torch import Tensor

from limbeck.data import Plan, Splits, split
from limbeck.data.rows import RowSet
from limbeck.errors import ArgumentError, DataError

__all__ = ["SplitSettings", "TaskSplits", "TrainingRows", "planned", "split_task"]


@dataclass(frozen=True)
class TrainingRows:
    """The rows that one model trains on.

    Args:
        rows: a row set.
        labelled_only: whether batches hold labelled rows alone.
    """

    rows: Any
    labelled_only: bool = False


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """The settings of the rows of any data.

    Args:
        validation: the share of the source's labelled training rows that is held out for model selection.
        test: the share that is held out for the one measurement at the end, if the source has no test set of its own.
        split_seed: decides which rows are held out, which labels stay and which rows ``limit`` keeps.
        limit: training rows for the student and its control; all if null. A teacher trains on all.
        labels: of these, how many keep their label; all if null. With 0 there can be no control.
        labelled_share: labelled rows in each batch of the student, where only some rows have a label.
        class_balance: draw the labelled rows of the student and its control equally from every class.
        unlabelled: another source, whose training rows the student gets without labels.
        test_from: another source, whose test rows are those of the one measurement at the end.
    """

    validation: float = 0.15
    test: float = 0.2
    split_seed: int = 0
    limit: int | None = None
    labels: int | None = None
    labelled_share: float = 0.25
    class_balance: bool = False
    unlabelled: Mapping[str, Any] | None = None
    test_from: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("labels", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ArgumentError(f"{name} is {value}; it must be at least {least}, or null for all", path=name)


class _Rows(RowSet, Protocol):
    def with_labels(self, count: int, seed: int) -> tuple[Self, Tensor]: ...

    def without_labels(self) -> Self: ...

    def encoded_like(self, other: Self) -> Self: ...

    def with_unlabelled(self, others: Self) -> Self: ...


Set = TypeVar("Set", bound=_Rows)
AnySet = TypeVar("AnySet")


@dataclass(frozen=True)
class TaskSplits(Generic[AnySet]):
    """Training rows of teachers, of the student and of its control; validation and test rows.

    Raises:
        DataError: if none are left to train or to test on.
    """

    teacher: TrainingRows
    student: TrainingRows
    labelled: TrainingRows
    validation: AnySet
    test: AnySet

    def __post_init__(self) -> None:
        sets: Any = (("train", self.teacher.rows), ("test", self.test))
        for name, rows in sets:
            if not len(rows):
                raise DataError(
                    f"the {name} split has no row; give more rows or change the shares", code="missing", path=name
                )


def split_task(
    source: Mapping[str, Set],
    settings: SplitSettings,
    *,
    unlabelled: Mapping[str, Set] | None = None,
    test_from: Mapping[str, Set] | None = None,
) -> TaskSplits[Set]:
    """The rows of a source, split as the settings say.

    Args:
        source: ``train``, and where the source has them ``validation`` and ``test``.
        settings: how to split them.
        unlabelled: the source of further rows without labels.
        test_from: the source of the test rows, where it is another one.

    Raises:
        DataError: if rows cannot be split as asked, none are left to train or to test on, some have no label although
            ``labels`` counts them, or the rows of another source do not fit.
    """

    def splits(of: Mapping[str, Set], *, validation: float | None = None, limit: int | None = None) -> Splits[Set]:
        share = settings.validation if validation is None else validation
        return split(of, validation=share, test=settings.test, seed=settings.split_seed, limit=limit)

    whole = splits(source)
    _check_classes(whole.train)
    student = whole.train if settings.limit is None else splits(source, limit=settings.limit).train
    if settings.labels == 0:
        student = student.without_labels()
    elif settings.labels is not None:
        student, _ = student.with_labels(settings.labels, settings.split_seed)
    if unlabelled is not None:
        # The test rows may come from the same source: these are the others.
        student = student.with_unlabelled(splits(unlabelled, validation=0.0).train)
    test = whole.test if test_from is None else _other_test(splits(test_from, validation=0.0).test, whole.train)
    rows = TrainingRows(whole.train), TrainingRows(student), TrainingRows(student, labelled_only=True)
    return TaskSplits(*rows, validation=whole.validation, test=test)


def _other_test(test: Set, train: Set) -> Set:
    """The test rows of another source, encoded like the training rows."""
    test = test.encoded_like(train)
    if (test.shape, test.classes) != (train.shape, train.classes):
        raise DataError(
            f"test_from has rows of shape {test.shape} and classes {test.classes}, the training rows {train.shape} and "
            f"{train.classes}; expected the same",
            code="mismatch",
            path="test_from",
        )
    if test.target.ndim != train.target.ndim:
        raise DataError(
            "test_from and the training rows differ in whether a row may have several classes; read both so",
            code="mismatch",
            path="test_from",
        )
    return test


def planned(training: TrainingRows, settings: SplitSettings, *, batch_size: int, seed: int) -> Plan:
    """Which of a training's rows each step sees."""
    return Plan(
        training.rows.labelled,
        batch_size=batch_size,
        seed=seed,
        labelled_share=settings.labelled_share,
        labelled_only=training.labelled_only,
        classes=training.rows.strata if settings.class_balance else None,
    )


def _check_classes(rows: Any) -> None:
    """Refuse class labels of fewer than two classes; rows without classes have none to check."""
    classes = getattr(rows, "classes", None)
    if classes is not None and not rows.target.is_floating_point() and len(classes) < 2:
        raise DataError(
            f"the data has {len(classes)} class(es), {classes}; expected at least 2", code="too_few", path="classes"
        )
