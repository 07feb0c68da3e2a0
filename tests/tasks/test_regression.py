"""Regression and tabular classification: from rows to models, files and verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import Tensor, nn

import limbeck
from limbeck.api import check
from limbeck.core import outputs_of
from limbeck.data import ImageSet, TableSet
from limbeck.data.labels import FloatTarget
from limbeck.data.sources.breast_cancer import BreastCancer
from limbeck.data.sources.diabetes import Diabetes
from limbeck.errors import ArgumentError, LimbeckError, RecipeError
from limbeck.export import Session
from limbeck.models import MLP
from limbeck.tasks import ImageSettings, Regression, TabularClassification
from refusals import refused
from tasks.whole_outputs import outputs_and_labels

RECIPE: dict[str, Any] = {
    "schema": 1,
    "task": "regression",
    "data": {"use": "diabetes"},
    "models": {
        "teacher": {"use": "mlp", "width": 16, "depth": 1, "train": {"epochs": 2, "batch_size": 32}},
        "student": {"use": "mlp", "width": 4, "depth": 1},
    },
    "objective": {
        "hard": {"loss": "squared_error", "weight": 0.5},
        "soft": {"loss": "squared_error", "weight": 0.5, "inputs": {"target": "teacher.value"}},
    },
    "train": {"epochs": 2, "batch_size": 32, "precision": "float32", "select": "best"},
    "measure": {"draws": 100, "seconds": 0.01},
}


def diabetes(**settings: Any) -> Regression:
    return Regression(Diabetes().load(), ImageSettings(**settings))


def small(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    return MLP(width=4, depth=1, **options)


def test_metrics_on_validation_rows_are_those_of_scikit_learn() -> None:
    task = diabetes()
    model = task.build(small).eval()
    outputs, labels = outputs_and_labels(task, lambda batch: outputs_of(model, batch, main="value"), task.test)
    assert outputs["value"].shape == labels["target"].shape == (len(task.test),)
    expected = root_mean_squared_error(labels["target"], outputs["value"])
    statistics = task.scoring.main.statistics(outputs, labels, None)
    value = task.scoring.main.value(statistics, np.ones((1, len(task.test))))
    assert value[0] == pytest.approx(expected)
    assert task.validate(model)["rmse"] > 0


def test_an_untrained_model_begins_near_the_mean_of_the_labels_it_may_see() -> None:
    task = diabetes(labels=100)
    known = task.labelled_rows.rows
    target = known.target[known.labelled].double()
    model: Any = task.build(small)
    assert len(target) == 100
    assert model.mean.item() == pytest.approx(target.mean().item(), rel=1e-6)
    assert model.std.item() == pytest.approx(target.std(correction=0).item(), rel=1e-6)


def test_a_missing_label_of_one_target_counts_for_the_other() -> None:
    rows = Diabetes().load()["train"]
    several = torch.stack([rows.target, 2 * rows.target], 1)
    several[::2, 1] = torch.nan
    targets = (FloatTarget("a", "mg"), FloatTarget("b", "mg"))
    data = TableSet(rows.numeric, rows.categorical, rows.columns, several, rows.index, (), targets)
    task = Regression({"train": data}, ImageSettings())
    model = task.build(small).eval()
    outputs, labels = outputs_and_labels(task, lambda batch: outputs_of(model, batch, main="value"), task.test)
    assert outputs["value"].shape == (len(task.test), 2)
    metrics = {metric.name: metric for metric in task.scoring.metrics}
    known = ~np.isnan(labels["target"])
    per_target = [
        [score(labels["target"][known[:, k], k], outputs["value"][known[:, k], k]) for k in range(2)]
        for score in (mean_absolute_error, r2_score)
    ]
    for name, values in zip(("mae", "r2"), per_target, strict=True):
        metric = metrics[name]
        statistics = metric.statistics(outputs, labels, None)
        parts = metric.breakdown(statistics, np.ones((1, len(task.test))))
        assert [float(part[0]) for part in parts.values()] == pytest.approx(values)


def test_images_with_numbers() -> None:
    images = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    brightness = images.mean((1, 2, 3))
    data = ImageSet.from_tensor(images, brightness, ())
    task = Regression({"train": data}, ImageSettings(augment={"flip": True}))
    assert task.num_views is None
    model = task.build(small).eval()
    task.check_model("models.student", model)
    batches, _ = task.batches(task.student_rows, batch_size=8, seed=0, rank=0, world=1)
    batch = next(batches.iterate(0, 1))  # type: ignore[union-attr]
    assert batch["target"].dtype == torch.float32
    assert task.description.row == "image"


def test_settings_of_images_are_refused_for_tables() -> None:
    with pytest.raises(ArgumentError, match="augment is for images"):
        diabetes(augment={"flip": True})


def test_a_run_from_the_recipe_to_the_prediction(tmp_path: Path) -> None:
    run = limbeck.run(RECIPE, output=tmp_path / "run")
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert (results["metric"], results["classes"]) == ("rmse", [])
    rmse = results["metrics"]["rmse"]
    assert (rmse["title"], rmse["unit"], rmse["higher_is_better"]) == ("RMSE", "points", False)
    assert "points" in results["verdict"]
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "points" in report
    assert "confusion" not in report.lower()
    rows = Diabetes().load()["train"]
    features = torch.cat([rows.numeric, rows.categorical.float()], 1)[:3].numpy()
    file = Session(run / "export" / "student.onnx")
    expected = file(features)["value"]
    from limbeck.runs.prediction import predict

    texts = [",".join(str(float(value)) for value in row) for row in features]
    found = [next(iter(one.values())) for one in predict(run, texts)]
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-4)


def test_a_csv_of_fractions_is_refused_by_classification(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("size,label\n" + "\n".join(f"{n},{n / 7}" for n in range(40)), encoding="utf-8")
    recipe = {
        **RECIPE,
        "task": "tabular_classification",
        "data": {"use": "csv", "file": str(file), "label": "label"},
        "objective": {"hard": {"loss": "cross_entropy"}},
    }
    with pytest.raises(LimbeckError, match="regression"):
        limbeck.run(recipe, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_classes_of_tables_are_learned(tmp_path: Path) -> None:
    task = TabularClassification(BreastCancer().load(), ImageSettings())
    assert len(task.classes) == 2
    recipe = {
        **RECIPE,
        "task": "tabular_classification",
        "data": {"use": "breast_cancer"},
        "objective": {
            "hard": {"loss": "cross_entropy", "weight": 0.5},
            "soft": {"loss": "kl_divergence", "weight": 0.5},
        },
        "train": {**RECIPE["train"], "epochs": 10},
    }
    run = limbeck.run(recipe, output=tmp_path / "run")
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["models"]["student"]["metrics"]["accuracy"]["value"] > 0.85


@pytest.mark.parametrize(
    "loss", ["kl_divergence", "reverse_kl", "cross_entropy", "binary_cross_entropy", "binary_kd", "dist"]
)
def test_a_loss_of_class_scores_is_refused(loss: str) -> None:
    with refused(RecipeError, "unsupported", "objective.soft", match=rf"{loss} compares .* take squared_error \("):
        check({**RECIPE, "objective": {"hard": {"loss": "squared_error"}, "soft": {"loss": loss}}})


def test_a_softmax_over_something_else_than_the_predicted_numbers_is_taken() -> None:
    soft = {"loss": "kl_divergence", "inputs": {"student": "student.hidden", "teacher": "teacher.hidden"}}
    models = {
        "teacher": {**RECIPE["models"]["teacher"], "taps": {"hidden": "layers"}},
        "student": {"use": "mlp", "width": 16, "depth": 1, "taps": {"hidden": "layers"}},
    }
    check({**RECIPE, "models": models, "objective": {**RECIPE["objective"], "soft": soft}})


def test_the_board_of_a_step_holds_values(tmp_path: Path) -> None:
    """The default addresses of a term read the main output, and rows without a label are left out."""
    rows = Diabetes().load()["train"]
    target: Tensor = rows.target.clone()
    target[::3] = torch.nan
    data = TableSet(rows.numeric, rows.categorical, rows.columns, target, rows.index, (), rows.targets)
    run = limbeck.run({**RECIPE, "data": {}, "seeds": 1}, data={"train": data}, output=tmp_path / "run")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [event["loss"] for event in events if "loss" in event]
    assert losses
    assert np.isfinite(losses).all()
