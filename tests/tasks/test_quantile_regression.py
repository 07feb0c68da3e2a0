"""Regression with quantiles: trained by the pinball loss, judged by coverage, shipped and predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, root_mean_squared_error
from torch import nn

import limbeck
from limbeck.data import TableSet
from limbeck.data.labels import FloatTarget
from limbeck.data.table_columns import Column
from limbeck.errors import LimbeckError, RecipeError
from limbeck.export import Session
from limbeck.models import Values
from limbeck.runs.prediction import predict
from limbeck.tasks.regression import Regression, RegressionSettings
from refusals import refused
from tasks.test_fitted_regression import recipe, results_of, several

LEVELS = (0.1, 0.5, 0.9)
LOSS = {"use": "pinball", "quantiles": list(LEVELS)}
HARD = {"loss": LOSS, "inputs": {"student": "student.quantiles"}}
TRAIN = {"epochs": 60, "batch_size": 32, "learning_rate": 0.02, "precision": "float32"}


def noisy(count: int = 600) -> TableSet:
    """A number whose quantiles are linear in the columns: y = 3 x + (1 + z) e, with e uniform."""
    draw = np.random.default_rng(0)
    x, z = draw.normal(size=count), draw.uniform(0, 2, size=count)
    y = 3 * x + (1 + z) * draw.uniform(-1, 1, size=count)
    numbers = torch.tensor(np.stack([x, z], 1), dtype=torch.float32)
    return TableSet(
        numbers,
        torch.zeros(count, 0, dtype=torch.int64),
        (Column("x"), Column("z")),
        torch.tensor(y, dtype=torch.float32),
        torch.arange(count),
        (),
        (FloatTarget("y", "m"),),
    )


def quantile_recipe(**changes: Any) -> dict[str, Any]:
    return recipe(
        **{
            "data": {"quantiles": list(LEVELS)},
            "models": {
                "teacher": {"use": "mlp", "width": 8, "train": {**TRAIN, "epochs": 20}},
                "student": {"use": "linear"},
            },
            "objective": {
                "hard": {**HARD, "weight": 0.5},
                "soft": {
                    "loss": "squared_error",
                    "weight": 0.05,
                    "inputs": {"student": "student.quantiles", "target": "teacher.quantiles"},
                },
            },
            "train": TRAIN,
            **changes,
        }
    )


def arrays(rows: TableSet) -> tuple[Any, Any]:
    return rows.numeric.numpy(), rows.target.numpy()


def test_a_linear_control_comes_near_the_best_linear_quantiles(tmp_path: Path) -> None:
    data = noisy()
    run = limbeck.run(quantile_recipe(), data={"train": data}, output=tmp_path / "run")
    results = results_of(run)
    task = Regression({"train": data}, RegressionSettings(quantiles=LEVELS))
    (rows, target), (test, truth) = arrays(task.labelled_rows.rows), arrays(task.test)
    best = [QuantileRegressor(quantile=level, alpha=0).fit(rows, target).predict(test) for level in LEVELS]
    least = np.mean([mean_pinball_loss(truth, one, alpha=level) for one, level in zip(best, LEVELS, strict=True)])
    found = results["models"]["control"]["metrics"]
    assert found["pinball_loss"]["value"] == pytest.approx(least, rel=0.05)
    assert results["metrics"]["pinball_loss"]["unit"] == "m"
    assert results["metrics"]["quantile_coverage"]["title"] == "coverage of the 80% interval"
    # The file gives what the metrics are of: the median is the value.
    outputs = Session(run / "export" / "student.onnx")(test)
    quantiles = outputs["quantiles"]
    assert quantiles.shape == (len(test), 3)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_array_equal(outputs["value"], quantiles[:, 1])
    shipped = results["models"]["exported"]["metrics"]
    inside = (truth >= quantiles[:, 0]) & (truth <= quantiles[:, 2])
    assert shipped["quantile_coverage"]["value"] == pytest.approx(inside.mean())
    assert shipped["rmse"]["value"] == pytest.approx(root_mean_squared_error(truth, quantiles[:, 1]), rel=1e-5)
    assert shipped["mae"]["value"] == pytest.approx(mean_absolute_error(truth, quantiles[:, 1]), rel=1e-5)
    losses = [mean_pinball_loss(truth, quantiles[:, at], alpha=level) for at, level in enumerate(LEVELS)]
    assert shipped["pinball_loss"]["value"] == pytest.approx(np.mean(losses), rel=1e-5)
    (row,) = predict(run, [f"{test[0, 0]},{test[0, 1]}"])
    assert row["quantiles"] == pytest.approx(dict(zip(map(str, LEVELS), quantiles[0].tolist(), strict=True)), rel=1e-4)
    assert "coverage of the 80% interval" in (run / "report.html").read_text(encoding="utf-8")


def test_teachers_without_quantiles_have_no_coverage(tmp_path: Path) -> None:
    data = noisy(200)
    soft = {"loss": "squared_error", "weight": 0.5, "inputs": {"target": "teacher.value"}}
    made = quantile_recipe(objective={"hard": HARD, "soft": soft}, train={**TRAIN, "epochs": 2})
    estimator = RandomForestRegressor(5, random_state=0).fit(*arrays(data))
    fitted = {**made, "models": {"teacher": {"use": "gradient_boosting"}, "student": {"use": "mlp", "width": 4}}}
    given = {**made, "models": {"student": {"use": "mlp", "width": 4}}}
    for name, runs, models in (("fitted", fitted, {}), ("given", given, {"teacher": estimator})):
        run = limbeck.run(runs, data={"train": data}, models=models, output=tmp_path / name)
        metrics = results_of(run)["models"]["teacher"]["metrics"]
        assert metrics["rmse"]["value"] > 0
        assert metrics["quantile_coverage"]["value"] is None
        assert results_of(run)["models"]["student"]["metrics"]["quantile_coverage"]["value"] is not None


def test_several_targets_have_quantiles_each(tmp_path: Path) -> None:
    data = several()
    run = limbeck.run(quantile_recipe(train={**TRAIN, "epochs": 2}), data={"train": data}, output=tmp_path / "run")
    session = Session(run / "export" / "student.onnx")
    task = Regression({"train": data}, RegressionSettings(quantiles=LEVELS))
    outputs = session(task.read(task.test, torch.arange(7))["inputs"].numpy())
    assert outputs["quantiles"].shape == (7, 2, 3)
    np.testing.assert_array_equal(outputs["value"], outputs["quantiles"][:, :, 1])


def test_quantiles_are_in_rising_order_and_in_the_unit() -> None:
    model = Values(nn.Identity(), [10.0, 100.0], [2.0, 10.0], single=False, levels=(0.25, 0.5))
    outputs = model(torch.tensor([[1.0, -1.0, 0.0, 3.0]]))
    assert outputs["quantiles"].tolist() == [[[8.0, 12.0], [100.0, 130.0]]]
    assert outputs["value"].tolist() == [[12.0, 130.0]]


def test_a_loss_of_other_quantiles_is_refused(tmp_path: Path) -> None:
    recipe = quantile_recipe(data={"quantiles": [0.2, 0.5, 0.8]})
    with refused(RecipeError, "mismatch", "objective.hard.loss.quantiles"):
        limbeck.run(recipe, data={"train": noisy(100)}, output=tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"quantiles": [0.1, 0.9]}}, r"data: .*add 0.5, the median"),
        ({"data": {"quantiles": [0.5, 0.1]}}, r"expected ascending levels between 0 and 1"),
        ({"models": {"teacher": {"use": "mlp"}, "student": {"use": "ridge"}}, "train": {}}, r"gives no quantiles"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(LimbeckError, match=message):
        limbeck.run(quantile_recipe(**changes), data={"train": noisy(100)}, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
