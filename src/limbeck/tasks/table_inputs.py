"""How the rows of tables become the inputs of models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.cache import CachedRows
from limbeck.data import Plan, TableSet
from limbeck.data.row_batches import Collate, RowBatches, whole_rows
from limbeck.errors import ArgumentError
from limbeck.models.tabular.table_input import TableInput
from limbeck.tasks.batch_source import Batch
from limbeck.tasks.estimators import TableRows, is_fitted
from limbeck.tasks.image_inputs import ImageSettings
from limbeck.tasks.splits import TrainingRows

__all__ = ["TableInputs"]

_evaluation_batch = 256


class TableInputs:
    """The columns of a table as one tensor: the numbers, then the codes of the categories.

    Args:
        rows: the training rows, which decide the means and deviations of the columns of numbers.
        settings: of the task; those of images are refused.

    Raises:
        ArgumentError: if the settings augment rows.
    """

    name: ClassVar = "features"

    def __init__(self, rows: TableSet, settings: ImageSettings) -> None:
        if settings.augment is not None:
            raise ArgumentError(
                "augment is for images, and these rows are tables; remove it", code="unsupported", path="augment"
            )
        self.rows = rows

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the tensor."""
        numbers = [column.name for column in self.rows.columns if column.is_numeric]
        return (*numbers, *(column.name for column in self.rows.columns if not column.is_numeric))

    @property
    def metadata(self) -> dict[str, str]:
        """What an exported file says about its inputs: the categories by column, whose codes begin with 1."""
        categories = {column.name: column.categories for column in self.rows.columns if column.categories is not None}
        return {"categories": json.dumps(categories)} if categories else {}

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The names of the entries of the file's inputs."""
        return {self.name: self.columns}

    @property
    def options(self) -> dict[str, Any]:
        """What the data gives to the constructor of a model: the encoded columns are one line of one channel."""
        return {"channels": 1, "size": (1, TableInput.encoded_size(self.rows.shape[0], self.rows.codes))}

    @cached_property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each column of numbers, over the rows in which it is known."""
        numbers = self.rows.numeric.double()
        count = (~numbers.isnan()).sum(0).clamp(min=1)
        mean = numbers.nan_to_num().sum(0) / count
        std = (((numbers - mean) ** 2).nan_to_num().sum(0) / count).sqrt()
        # A column that never changes carries nothing: leave its scale alone.
        return mean.tolist(), std.where(std > 0, 1.0).tolist()

    def wrap(self, net: nn.Module) -> nn.Module:
        """The network behind the encoding of the columns."""
        return TableInput(net, *self.statistics, self.rows.codes)

    def rows_of(self, estimator: Any) -> TableRows:
        """What turns the tensor into the rows that an estimator takes.

        Raises:
            ArgumentError: if it was fitted to other columns.
        """
        if not is_fitted(estimator) and find_spec("pandas") is not None:
            # A data frame says which columns are categories.
            return TableRows(self.rows.columns, tuple(column.name for column in self.rows.columns))
        return TableRows.of(self.rows.columns, estimator)

    missing: ClassVar = "A missing number counts as the mean of its column; a missing or unknown category as none."

    def branch(self, feature: int, threshold: float) -> tuple[str, str]:
        """The condition on a row, in the units of the column, that a comparison of an encoded feature means.

        Args:
            feature: its place among the encoded columns.
            threshold: of the encoded value.

        Returns:
            What is true of a row whose value is at most the threshold, and what of one above it.
        """
        mean, std = self.statistics
        if feature < len(mean):
            name, value = self.columns[feature], f"{mean[feature] + std[feature] * threshold:.7g}"
            return f"{name} <= {value}", f"{name} > {value}"
        places = [(column, name) for column in self.rows.columns for name in column.categories or ()]
        column, category = places[feature - len(mean)]
        return f"{column.name} is not {category}", f"{column.name} is {category}"

    def collate(self, rows: TableSet, numbers: Tensor, views: Tensor) -> Tensor:
        """These rows, float32 ``[B, F + G]``."""
        return torch.cat([rows.numeric[numbers], rows.categorical[numbers].float()], dim=1)

    def batches(
        self,
        training: TrainingRows,
        plan: Plan,
        collate: Collate,
        *,
        seed: int,
        rank: int,
        world: int,
        views: int | None,
        cached: CachedRows | None,
    ) -> RowBatches:
        """The batches of a plan."""
        return RowBatches(training.rows, plan, collate, rank=rank, world=world, views=views, cached=cached)

    num_views: ClassVar[int | None] = 1

    def views_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the rows that caches hold outputs of."""
        return {"table": training.rows.fingerprint()}

    @property
    def key(self) -> dict[str, Any]:
        """What decides the inputs beside the rows."""
        return {"statistics": self.statistics}

    def evaluation(self, rows: TableSet, collate: Collate) -> Iterator[Batch]:
        """All rows in order."""
        return whole_rows(rows, _evaluation_batch, collate)

    @property
    def input(self) -> dict[str, Any]:
        """The shape of one input, for config.json and results.json."""
        return {"columns": list(self.columns)}

    @property
    def description(self) -> str:
        """The input in words."""
        numbers, categories = self.rows.shape
        return f"{numbers + categories} columns: {numbers} of numbers, {categories} of categories"
