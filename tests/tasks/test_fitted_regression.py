"""Regression with students that are fitted at once: from the recipe to the file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.tree import DecisionTreeRegressor

import limbeck
from limbeck.data import ImageSet, TableSet
from limbeck.data.labels import FloatTarget
from limbeck.data.sources.diabetes import Diabetes
from limbeck.errors import LimbeckError, RecipeError
from limbeck.export import Session
from limbeck.tasks import ImageSettings, Regression

HARD = {"loss": "squared_error", "weight": 0.1}
SOFT = {"loss": "squared_error", "weight": 0.9, "inputs": {"target": "teacher.value"}}


def recipe(**changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "task": "regression",
        "data": {"use": "diabetes"},
        "models": {
            "teacher": {"use": "gradient_boosting", "trees": 20},
            "student": {"use": "decision_tree", "leaves": 6},
        },
        "objective": {"hard": HARD, "soft": SOFT},
        "measure": {"draws": 100, "seconds": 0.01},
        **changes,
    }


def results_of(run: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return results


def several() -> TableSet:
    """Two targets, of which a third of the rows lacks the second."""
    rows = Diabetes().load()["train"]
    target = torch.stack([rows.target, -100 * rows.target], 1)
    target[::3, 1] = torch.nan
    targets = (FloatTarget("progression", "points"), FloatTarget("debt", "EUR"))
    return TableSet(rows.numeric, rows.categorical, rows.columns, target, rows.index, (), targets)


def inputs(rows: TableSet) -> np.ndarray[Any, Any]:
    """Numbers in their own units, then a 0 or 1 for each category."""
    codes = rows.categorical.numpy()
    places = [(codes[:, [at]] == np.arange(1, count)) for at, count in enumerate(rows.codes)]
    return np.concatenate([rows.numeric.numpy(), *places], axis=1)


@pytest.mark.parametrize("name", ["decision_tree", "random_forest"])
def test_the_control_is_what_scikit_learn_makes_of_labels_alone(name: str, tmp_path: Path) -> None:
    student = {"use": name, "leaves": 8, **({"trees": 9} if name == "random_forest" else {})}
    models = {**recipe()["models"], "student": student}
    run = limbeck.run(recipe(models=models), output=tmp_path / "run")
    results, task = results_of(run), Regression(Diabetes().load(), ImageSettings())
    known, test = task.labelled_rows.rows, task.test
    options = {"max_leaf_nodes": 8, "max_depth": 16, "random_state": 0}
    # Trees compare features alone, so those in their own units give the same.
    expected = DecisionTreeRegressor(**options) if name == "decision_tree" else RandomForestRegressor(9, **options)
    labels = known.target.double().numpy()
    mean, std = np.float32(labels.mean()), np.float32(labels.std())
    # Forests draw rows by weight: equal weights draw other rows than none. Rounded alike, so that ties fall alike.
    expected.fit(inputs(known), (labels - mean) / std, sample_weight=np.ones(len(known)))
    rmse = root_mean_squared_error(test.target.numpy(), expected.predict(inputs(test)) * std + mean)
    assert results["models"]["control"]["metrics"]["rmse"]["value"] == pytest.approx(rmse, rel=1e-4)
    assert results["models"]["student"]["metrics"]["rmse"]["value"] != pytest.approx(rmse, rel=1e-4)
    assert results["export"]["max_difference"] < 1e-3
    assert results["metrics"]["rmse"]["unit"] == "points"


def test_several_targets_of_which_some_are_not_known(tmp_path: Path) -> None:
    data = several()
    models = {"teacher": {"use": "mlp", "width": 4, "train": {"epochs": 1}}, "student": recipe()["models"]["student"]}
    run = limbeck.run(recipe(data={}, models=models), data={"train": data}, output=tmp_path / "run")
    task = Regression({"train": data}, ImageSettings())
    known, test = task.labelled_rows.rows, task.test
    session = Session(run / "export" / "student.onnx")
    assert session.names["value"] == ("progression", "debt")
    metrics = results_of(run)["models"]["control"]["breakdown"]["mae"]
    for column, name in enumerate(("progression", "debt")):
        has, counts = ~known.target[:, column].isnan().numpy(), ~test.target[:, column].isnan().numpy()
        tree = DecisionTreeRegressor(max_leaf_nodes=6, max_depth=16, random_state=0)
        tree.fit(inputs(known)[has], known.target[:, column].numpy()[has])
        errors = np.abs(tree.predict(inputs(test)) - test.target[:, column].numpy())[counts]
        assert metrics[name] == pytest.approx(errors.mean(), rel=1e-4)


def test_images_with_numbers(tmp_path: Path) -> None:
    images = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = ImageSet.from_tensor(images, images[:, 0, 1, 2] * 8 + images[:, 0, 0, 0], ())
    models = {"teacher": {"use": "random_forest", "trees": 10}, "student": {"use": "ridge"}}
    run = limbeck.run(recipe(data={}, models=models), data={"train": data}, output=tmp_path / "run")
    results = results_of(run)
    assert results["export"]["max_difference"] < 1e-4
    # The numbers are linear in the pixels.
    assert results["models"]["control"]["metrics"]["rmse"]["value"] < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": {"hard": HARD, "soft": {**SOFT, "loss": "mse_logits"}}}, r"objective.soft"),
        (
            {"models": {"teacher": {"use": "mlp"}, "student": {"use": "logistic_regression"}}},
            r"models.student: it is fitted to classes.*take ridge",
        ),
        ({"train": {"epochs": 3}}, r"train.epochs is 3"),
    ],
)
def test_it_is_refused_before_anything_is_written(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(LimbeckError, match=message):
        limbeck.run(recipe(**changes), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_lightgbm_a_run_that_fits_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    models = {"teacher": {"use": "lightgbm"}, "student": {"use": "ridge"}}
    with pytest.raises(
        RecipeError, match=r"models.teacher: lightgbm: .*pip install lightgbm, or take gradient_boosting"
    ):
        limbeck.run(recipe(models=models), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_lightgbm_teaches_and_is_not_needed_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightgbm")
    models = {"teacher": {"use": "lightgbm", "trees": 10}, "student": {"use": "decision_tree", "leaves": 6}}
    run = limbeck.run(recipe(models=models), output=tmp_path / "run")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    models = {"teacher": {"run": str(run), "model": "teacher"}, "student": {"use": "ridge"}}
    again = results_of(limbeck.run(recipe(models=models), output=tmp_path / "again"))
    before = results_of(run)["models"]["teacher"]["metrics"]["rmse"]["value"]
    assert again["models"]["teacher"]["metrics"]["rmse"]["value"] == pytest.approx(before)


def test_ridge_is_refused_for_classes(tmp_path: Path) -> None:
    wrong = recipe(
        task="tabular_classification",
        data={"use": "breast_cancer"},
        models={"teacher": {"use": "gradient_boosting"}, "student": {"use": "ridge"}},
        objective={"soft": {"loss": "kl_divergence"}},
    )
    with pytest.raises(RecipeError, match="take logistic_regression"):
        limbeck.run(wrong, output=tmp_path / "run")


def test_boosted_trees_teach_a_tree_classes(tmp_path: Path) -> None:
    given = recipe(
        task="tabular_classification",
        data={"use": "breast_cancer"},
        models={"teacher": {"use": "gradient_boosting"}, "student": {"use": "decision_tree", "leaves": 5}},
        objective={"soft": {"loss": "kl_divergence"}},
    )
    results = results_of(limbeck.run(given, output=tmp_path / "run"))
    assert results["models"]["teacher"]["metrics"]["accuracy"]["value"] > 0.9
    assert results["models"]["student"]["metrics"]["accuracy"]["value"] > 0.85
    assert results["export"]["max_difference"] < 1e-4
