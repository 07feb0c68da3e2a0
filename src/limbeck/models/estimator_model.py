"""An estimator as scikit-learn has them, as a model that teaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.errors import ArgumentError

__all__ = ["EstimatorModel", "is_estimator"]

_least = 1e-6  # of a probability, before its logarithm


def is_estimator(value: Any) -> bool:
    """Whether something is an estimator as scikit-learn has them, rather than a module.

    >>> from sklearn.linear_model import Ridge
    >>> is_estimator(Ridge()), is_estimator(nn.Linear(1, 1))
    (True, False)
    """
    return not isinstance(value, nn.Module | type) and callable(getattr(value, "predict", None))


class EstimatorModel(nn.Module):
    """What a fitted estimator predicts, as the outputs of a model that cannot be trained or exported.

    It has no parameter: its only buffer, ``digest``, identifies it in the keys of stages and caches. It
    computes on the processor, wherever its inputs are.

    Args:
        estimator: with ``predict`` for numbers, or ``predict_proba`` for classes.
        rows: turns inputs, float32 ``[B, …]``, into what the estimator takes.
        digest: 32 bytes that differ between estimators of other content.
        columns: for classes, the place of each column of ``predict_proba`` among them; None for numbers.
        outputs: the number of classes or of numbers; 0 for one number without an axis of its own.

    Shape:
        - Output: ``{"value": [B]}`` or ``{"value": [B, K]}``; or ``{"logits": [B, C]}``, the logarithms of the
          probabilities from 10⁻⁶ on, whose softmax the probabilities are.

    Raises:
        ArgumentError: in a forward pass, if the estimator gives another number of outputs.

    >>> from sklearn.linear_model import LinearRegression
    >>> estimator = LinearRegression().fit(np.array([[0.0], [1.0]]), np.array([1.0, 3.0]))
    >>> model = EstimatorModel(estimator, lambda rows: rows, bytes(32), outputs=0)
    >>> model(torch.tensor([[2.0]]))["value"].tolist(), list(model.parameters())
    ([5.0], [])
    """

    digest: Tensor

    def __init__(
        self,
        estimator: Any,
        rows: Callable[[NDArray[np.float32]], Any],
        digest: bytes,
        *,
        columns: Sequence[int] | None = None,
        outputs: int,
    ) -> None:
        super().__init__()
        self.estimator = estimator
        self.rows = rows
        self.columns = None if columns is None else list(columns)
        self.outputs = outputs
        self.register_buffer("digest", torch.tensor(list(digest), dtype=torch.uint8))

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        rows = self.rows(inputs.detach().float().cpu().numpy())
        if self.columns is None:
            return {"value": self._on(inputs, self._numbers(rows, len(inputs)))}
        found = np.asarray(self.estimator.predict_proba(rows), np.float64)
        if found.shape != (len(inputs), len(self.columns)):
            raise ArgumentError(
                f"{type(self.estimator).__name__}.predict_proba gives {list(found.shape)}; expected "
                f"[{len(inputs)}, {len(self.columns)}]",
                code="wrong_shape",
                path="estimator",
            )
        probabilities = np.zeros((len(inputs), self.outputs))
        probabilities[:, self.columns] = found
        return {"logits": self._on(inputs, np.log(probabilities.clip(min=_least)))}

    def _numbers(self, rows: Any, count: int) -> NDArray[np.float64]:
        found = np.asarray(self.estimator.predict(rows), np.float64)
        if found.shape == (count, 1) and self.outputs == 0:
            return found[:, 0]
        if found.shape == (count,) and self.outputs == 1:
            return found[:, None]
        expected = (count, self.outputs) if self.outputs else (count,)
        if found.shape != expected:
            raise ArgumentError(
                f"{type(self.estimator).__name__}.predict gives {list(found.shape)}; expected {list(expected)}, a "
                "number for each target",
                code="wrong_shape",
                path="estimator",
            )
        return found

    @staticmethod
    def _on(inputs: Tensor, found: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(found).float().to(inputs.device)

    def extra_repr(self) -> str:
        return f"{type(self.estimator).__name__}, outputs={self.outputs}"
