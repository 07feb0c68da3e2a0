"""What classification of images, tables and texts has in common: one logit per class."""

from __future__ import annotations

from typing import Any, ClassVar

from limbeck.data import ClassLabels
from limbeck.errors import ArgumentError
from limbeck.measure import ClassScoring
from limbeck.tasks.descriptions import EXCLUSIVE_LIMIT, TaskDescription
from limbeck.tasks.label_type import LabelType, label_type_of
from limbeck.tasks.outputs import OutputSpec
from limbeck.tasks.task import Task

__all__ = ["Classification"]

_SEPARATE_LIMIT = "The model decides about each class separately: a {row} may get any number of them, or none."


class Classification(Task):
    """One class, or any number of classes, for each row.

    It stands before the class that reads the rows: ``class ImageClassification(Classification, RowTask)``.

    Args:
        source: ``train``, and where the source has them ``validation`` and ``test``.
        settings: how to split the rows.
        unlabelled: the source of further rows without labels.
        test_from: the source of the test rows, where it is another one.

    Raises:
        DataError: if rows cannot be split as asked, or those of another source do not fit.
    """

    label_type: ClassVar = ClassLabels

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        names: tuple[str, ...] = self.test.classes
        return names

    @property
    def row_label_type(self) -> LabelType:
        """Whether a row has one class or any number of them."""
        return label_type_of(self.test.target)

    @property
    def is_multi_label(self) -> bool:
        """Whether a row may have any number of classes."""
        return self.scoring.label_kind == "multi_label"

    @property
    def outputs(self) -> dict[str, OutputSpec]:
        """One logit for each class."""
        return {"logits": OutputSpec(("row", "class"), names=self.classes)}

    @property
    def scoring(self) -> ClassScoring:
        """The scoring of one class per row, or of any number of them."""
        return self.row_label_type.scoring(len(self.classes))

    def columns_of(self, estimator: Any) -> list[int] | None:
        """The places of an estimator's classes; rows of several classes are refused."""
        if self.is_multi_label:
            raise ArgumentError(
                f"{type(estimator).__name__} gives one class, and these rows may have several; give a torch module",
                code="unsupported",
                path="estimator",
            )
        columns: list[int] | None = super().columns_of(estimator)  # type: ignore[misc]
        return columns

    def describe(self, *, takes: str, row: str, command: str, pipeline_tag: str, snippet: str = "") -> TaskDescription:
        """The description of the task.

        Args:
            takes: what a model reads.
            row: one example of the data, such as "image".
            command: a command line that predicts.
            pipeline_tag: the task's name on the Hugging Face hub.
            snippet: lines of Python that run the exported file.
        """
        count = f"{len(self.classes):,} classes"
        return TaskDescription(
            input=takes,
            output=f"any number of {count}" if self.is_multi_label else count,
            row=row,
            label="class",
            decision="label" if self.is_multi_label else "",
            snippet=snippet,
            command=command,
            limits=[(_SEPARATE_LIMIT if self.is_multi_label else EXCLUSIVE_LIMIT).format(row=row)],
            pipeline_tag=pipeline_tag,
        )
