"""Tabular classification: one class, or any number of classes, for each row of a table."""

from __future__ import annotations

from typing import ClassVar

from limbeck.data import TableSet
from limbeck.export import Delivery
from limbeck.registry import Needs, register
from limbeck.tasks.classification import Classification
from limbeck.tasks.descriptions import TaskDescription
from limbeck.tasks.row_task import RowTask

__all__ = ["TabularClassification"]


@register("task", "tabular_classification")
class TabularClassification(Classification, RowTask):
    """Classes of the rows of a table with columns of numbers and of categories."""

    needs: ClassVar = Needs(("tables",))
    row_type: ClassVar = TableSet
    delivery: ClassVar = Delivery(
        formats=("onnx", "int8"), inputs={"features": "numbers as they are, then codes of categories"}
    )

    @property
    def description(self) -> TaskDescription:
        """Rows of a table, and their classes."""
        return self.describe(
            takes=self.inputs.description,
            row="row",
            command="limbeck predict . 1.5,2,0",
            pipeline_tag="tabular-classification",
        )
