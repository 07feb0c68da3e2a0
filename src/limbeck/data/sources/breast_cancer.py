"""A small table with two classes, from scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from limbeck.data.rows.tables import TableSet
from limbeck.data.sources.packaged import packaged_file, read_table
from limbeck.data.table_columns import Column
from limbeck.registry import register

__all__ = ["BreastCancer"]

_features = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
_columns = tuple(
    Column(f"{statistic} {feature}") for statistic in ("mean", "error of", "worst") for feature in _features
)


@register("source", "breast_cancer")
class BreastCancer:
    """569 tumours in two classes: mean, standard error and worst value of ten measures of cell nuclei in an image.

    The file comes with scikit-learn, whose code is not run.

    >>> data = BreastCancer().load()["train"]
    >>> data.shape, data.classes, data.counts.tolist()
    ((30, 0), ('malignant', 'benign'), [212, 357])

    Street, Wolberg and Mangasarian (1993), "Nuclear feature extraction for breast tumor diagnosis",
    doi:10.1117/12.148698.
    """

    row_type: ClassVar = TableSet

    def load(self) -> Mapping[str, TableSet]:
        """All rows under "train".

        Raises:
            DataError: if scikit-learn is not installed.
        """
        file = packaged_file("sklearn", "datasets/data/breast_cancer.csv", distribution="scikit-learn")
        rows = torch.from_numpy(read_table(file, 31, skip=1))
        no_categories = torch.empty((len(rows), 0), dtype=torch.int64)
        labels = (rows[:, 30].long(), torch.arange(len(rows)), ("malignant", "benign"))
        return {"train": TableSet(rows[:, :30].float(), no_categories, _columns, *labels)}
