"""A small table with a number to predict, from scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from limbeck.data.labels.label_type import FloatTarget
from limbeck.data.rows.tables import TableSet
from limbeck.data.sources.packaged import packaged_file, read_table
from limbeck.data.table_columns import Column
from limbeck.registry import register

__all__ = ["Diabetes"]

_columns = (
    Column("age"),
    Column("sex", ("1", "2")),
    *map(Column, ("bmi", "bp", "total_cholesterol", "ldl", "hdl", "cholesterol_ratio", "log_triglycerides", "glucose")),
)


@register("source", "diabetes")
class Diabetes:
    """442 patients: the progression of the disease within a year, in points from 25 to 346.

    Nine columns of numbers as they were measured (years, kg/m², mmHg, mg/dl; the logarithm of triglycerides) and one of
    categories, the sex, whose codes the source does not explain. The files come with scikit-learn, whose code is not
    run.

    >>> data = Diabetes().load()["train"]
    >>> data.shape, data.targets
    ((9, 1), (FloatTarget(name='progression', unit='points'),))

    Efron, Hastie, Johnstone and Tibshirani (2004), "Least angle regression", doi:10.1214/009053604000000067.
    """

    row_type: ClassVar = TableSet

    def load(self) -> Mapping[str, TableSet]:
        """All rows under "train".

        Raises:
            DataError: if scikit-learn is not installed.
        """
        folder, package = "datasets/data", {"distribution": "scikit-learn"}
        values = read_table(packaged_file("sklearn", f"{folder}/diabetes_data_raw.csv.gz", **package), 10)
        target = read_table(packaged_file("sklearn", f"{folder}/diabetes_target.csv.gz", **package), 1)
        rows = torch.from_numpy(values)
        numeric = torch.cat([rows[:, :1], rows[:, 2:]], 1).float()
        progression = torch.from_numpy(target[:, 0]).float()
        index = torch.arange(len(rows))
        targets = (FloatTarget("progression", "points"),)
        return {"train": TableSet(numeric, rows[:, 1:2].long(), _columns, progression, index, (), targets)}
