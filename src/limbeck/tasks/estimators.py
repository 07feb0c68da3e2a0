"""Estimators as scikit-learn has them, as models of a task: what they read, and which classes they know."""

from __future__ import annotations

import copy
import hashlib
import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.data.table_columns import Column
from limbeck.errors import ArgumentError, suggest
from limbeck.models.content_hash import content_hash
from limbeck.models.estimator_model import EstimatorModel

__all__ = ["ImageRows", "TableRows", "class_columns", "fit_estimator", "identified", "is_fitted", "predicted"]

# Names that LightGBM gives to the columns of an array.
_unnamed = re.compile(r"Column_\d+")


@dataclass(frozen=True)
class ImageRows:
    """Images, float32 ``[B, C, H, W]``, as an estimator takes them: one row of pixels for each, ``[B, C·H·W]``."""

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return images.reshape(len(images), -1)


@dataclass(frozen=True)
class TableRows:
    """Rows of a table, numbers then codes, as an estimator was fitted to them: in its columns, units and categories.

    An estimator that was fitted to a data frame gets one, with columns of these names; another one an array of all
    columns in the order of the file. A category is its name, or the number that the name is; a missing one is NaN, like
    a missing number.

    Args:
        columns: of the table, in the order of the file.
        names: of the estimator's columns; empty if it was fitted to an array.
    """

    columns: tuple[Column, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, columns: Sequence[Column], estimator: Any) -> TableRows:
        """What this estimator takes.

        Raises:
            ArgumentError: if it was fitted to a column that the table does not have, or to another number of them.
        """
        known, count = [column.name for column in columns], getattr(estimator, "n_features_in_", None)
        names = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
        if names and all(map(_unnamed.fullmatch, names)) and not set(names) <= set(known):
            names = ()
        for name in names:
            if name not in known:
                raise ArgumentError(
                    f"{type(estimator).__name__} was fitted to a column {name!r}, which the data has not."
                    f"{suggest(name, known)}",
                    code="mismatch",
                    path="estimator",
                )
        if not names and count is not None and count != len(known):
            raise ArgumentError(
                f"{type(estimator).__name__} was fitted to {count} columns, and the data has {len(known)}: "
                f"{', '.join(known)}; fit it to these, in this order and as they are in the file",
                code="mismatch",
                path="estimator",
            )
        return cls(tuple(columns), names)

    def __call__(self, features: NDArray[np.float32]) -> Any:
        cells = dict(self._cells(features))
        if self.names:
            return _frame({name: cells[name] for name in self.names}, self.columns)
        if all(values.dtype.kind == "f" for values in cells.values()):
            return np.stack(list(cells.values()), axis=1)
        return np.stack([values.astype(object) for values in cells.values()], axis=1)

    def _cells(self, features: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[Any]]]:
        """The values of each column, in the order of the file."""
        numbers, codes = 0, sum(column.is_numeric for column in self.columns)
        for column in self.columns:
            if column.categories is None:
                yield column.name, features[:, numbers].astype(np.float64)
                numbers += 1
            else:
                table: NDArray[Any] = np.array([np.nan, *_values(column.categories)], _type(column.categories))
                yield column.name, table[features[:, codes].astype(np.int64)]
                codes += 1


def _values(categories: Sequence[str]) -> list[Any]:
    try:
        return [float(name) for name in categories]
    except ValueError:
        return list(categories)


def _type(categories: Sequence[str]) -> type:
    return object if isinstance(_values(categories)[0], str) else np.float64


def _frame(cells: dict[str, NDArray[Any]], columns: Sequence[Column]) -> Any:
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise ArgumentError(
            f"the estimator was fitted to a data frame, and pandas cannot be imported ({error}); install it, or fit "
            "the estimator to an array",
            code="not_installed",
            path="estimator",
        ) from error
    categories = {column.name: column.categories for column in columns}
    return pandas.DataFrame(
        {
            name: pandas.Categorical(values, categories=list(categories[name] or ()))
            if values.dtype.kind == "O"
            else values
            for name, values in cells.items()
        }
    )


def is_fitted(estimator: Any) -> bool:
    """Whether an estimator can predict as it is; one that has no method ``fit`` can."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not hasattr(estimator, "fit"):
        return True
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    except (TypeError, ValueError, AttributeError):
        return True
    return True


def fit_estimator(estimator: Any, rows: Any, labels: NDArray[Any]) -> Any:
    """A copy of an estimator, fitted.

    Raises:
        ArgumentError: if it refuses the rows or the labels.
    """
    fitted = copy.deepcopy(estimator)
    try:
        fitted.fit(rows, labels)
    except Exception as error:  # of an estimator that was given
        reason = str(error).partition("\n")[0]
        raise ArgumentError(
            f"{type(estimator).__name__} cannot be fitted to the data ({type(error).__name__}: {reason})",
            code="failed",
            path="estimator",
        ) from error
    return fitted


def class_columns(estimator: Any, names: Sequence[str]) -> list[int]:
    """The place of each of an estimator's classes among those of the data.

    They are found by name; or by number, if the estimator knows 0, 1, … and the data has other names.

    Raises:
        ArgumentError: if it gives no probabilities, or has classes that the data does not have.
    """
    called = type(estimator).__name__
    if not hasattr(estimator, "predict_proba") or not hasattr(estimator, "classes_"):
        raise ArgumentError(
            f"{called} has no predict_proba with classes_, which a teacher of classes needs; take one that has it",
            code="unsupported",
            path="estimator",
        )
    classes = [_class_name(value) for value in np.asarray(estimator.classes_).ravel().tolist()]
    if set(classes) <= set(names):
        return [names.index(name) for name in classes]
    numbers = list(map(str, range(len(names))))
    if set(classes) <= set(numbers):
        return [int(name) for name in classes]
    raise ArgumentError(
        f"{called} knows the classes {', '.join(classes[:5])}, and the data has {', '.join(names[:5])}; fit it to "
        "these",
        code="mismatch",
        path="estimator",
    )


def _class_name(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def identified(
    estimator: Any, rows: Any, samples: Iterator[Tensor], *, columns: Sequence[int] | None, outputs: int
) -> EstimatorModel:
    """The model of an estimator, told apart by its content; or, where that cannot be known, by what it predicts.

    Args:
        estimator: fitted.
        rows: turns inputs into what it takes.
        samples: all inputs that a run may ask it about, in batches.
        columns: as in `EstimatorModel`.
        outputs: likewise.

    Raises:
        ArgumentError: if it cannot predict.
    """
    content = content_hash(estimator)
    digest = hashlib.sha256((content or "").encode())
    model = EstimatorModel(estimator, rows, bytes(32), columns=columns, outputs=outputs)
    for inputs in samples if content is None else ():
        for value in predicted(model, inputs).values():
            digest.update(value.numpy().tobytes())
    model.digest = torch.tensor(list(digest.digest()), dtype=torch.uint8)
    return model


def predicted(model: EstimatorModel, inputs: Tensor) -> dict[str, Tensor]:
    """The outputs for these inputs.

    Raises:
        ArgumentError: if the estimator cannot predict them.
    """
    try:
        outputs: dict[str, Tensor] = model(inputs)
    except ArgumentError:
        raise
    except Exception as error:  # of an estimator that was given
        reason = str(error).partition("\n")[0]
        raise ArgumentError(
            f"{type(model.estimator).__name__} cannot predict rows of the data ({type(error).__name__}: {reason}); fit "
            "it to the columns of the data as they are in the file, missing values included",
            code="failed",
            path="estimator",
        ) from error
    return outputs
