"""How models are evaluated that predict numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limbeck.errors import ArgumentError
from limbeck.measure.metric import Labels, Outputs
from limbeck.measure.quantiles import PinballLoss, QuantileCalibrationError, QuantileCoverage
from limbeck.measure.regression import MAE, R2, RMSE, TeacherRMSE
from limbeck.measure.scoring import Scoring

__all__ = ["regression_scoring"]


def regression_scoring(targets: Sequence[str] = (), *, unit: str = "", quantiles: Sequence[float] = ()) -> Scoring:
    """The scoring of outputs ``value``, ``[N]`` or ``[N, K]``, and targets of the same shape, NaN where unknown.

    The RMSE decides. The default term on labels is the squared error; with quantiles it is the pinball loss.

    Args:
        targets: the names of several targets.
        unit: of the targets.
        quantiles: the levels of the output ``quantiles``, ``[…, Q]``; none if models give none.

    >>> scoring = regression_scoring(unit="mg/dl")
    >>> scoring.main.title, scoring.main.unit, scoring.main.higher_is_better
    ('RMSE', 'mg/dl', False)
    """
    of_quantiles = (
        (
            PinballLoss(targets, unit=unit, quantiles=quantiles),
            QuantileCalibrationError(quantiles),
            *([QuantileCoverage(quantiles)] if len(quantiles) > 1 else []),
        )
        if quantiles
        else ()
    )
    return Scoring(
        hard={"hard": _pinball(quantiles) if quantiles else {"loss": "squared_error"}},
        metrics=(
            RMSE(targets, unit=unit),
            MAE(targets, unit=unit),
            R2(targets),
            *of_quantiles,
            TeacherRMSE(targets, unit=unit),
        ),
        check=_check,
        known=_count_known,
        optional=("quantiles",) if quantiles else (),
    )


def _pinball(quantiles: Sequence[float]) -> dict[str, Any]:
    loss = {"use": "pinball", "quantiles": list(quantiles)}
    return {"loss": loss, "inputs": {"student": "student.quantiles"}}


def _check(outputs: Outputs, labels: Labels) -> None:
    value, target = outputs["value"], labels["target"]
    if value.shape != target.shape or target.ndim not in (1, 2) or target.dtype.kind != "f":
        raise ArgumentError(
            f"evaluation: target of shape {target.shape} and type {target.dtype} for values of shape {value.shape}; "
            "expected floating numbers of one shape, [N] for one target or [N, K] for several",
            code="wrong_shape",
            path="target",
        )


def _count_known(labels: Labels) -> int:
    return int((~np.isnan(labels["target"])).sum())
