"""Estimators as teachers: given in Python, or made by a plugin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import accuracy_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

import limbeck
from limbeck import api, registry
from limbeck.data import ImageSet
from limbeck.data.sources.breast_cancer import BreastCancer
from limbeck.data.sources.diabetes import Diabetes
from limbeck.errors import LimbeckError, RecipeError
from limbeck.runs.setup import load_task, open_recipe
from limbeck.tasks import ImageSettings, Regression, TabularClassification
from tasks.test_fitted_regression import recipe, results_of, several


@pytest.fixture(autouse=True)
def no_entry_stays() -> Iterator[None]:
    with registry.temporary():
        yield


MLP = {"use": "mlp", "width": 4, "depth": 1}
TRAIN = {"epochs": 4, "batch_size": 32, "precision": "float32"}


def given(student: Any = MLP, **changes: Any) -> dict[str, Any]:
    made = recipe(**{"models": {"student": student}, **changes})
    return made if student is not MLP else {**made, "train": TRAIN}


def patients(frame: bool) -> Any:
    """Of scikit-learn, in the units in which they were measured; with the column names of the source."""
    rows, target = load_diabetes(return_X_y=True, scaled=False)
    names = [column.name for column in Diabetes().load()["train"].columns]
    return (pd.DataFrame(rows, columns=names) if frame else rows), target


@pytest.mark.parametrize("frame", [True, False])
def test_it_sees_columns_in_their_own_units_and_order(frame: bool, tmp_path: Path) -> None:
    rows, target = patients(frame)
    task = Regression(Diabetes().load(), ImageSettings())
    known, test = (part.index.numpy() for part in (task.teacher_rows.rows, task.test))
    at = (lambda places: rows.iloc[places]) if frame else (lambda places: rows[places])
    teacher = HistGradientBoostingRegressor(max_iter=30, random_state=0).fit(at(known), target[known])
    run = limbeck.run(given(), models={"teacher": teacher}, output=tmp_path / "run")
    results = results_of(run)
    expected = root_mean_squared_error(target[test], teacher.predict(at(test)))
    assert results["models"]["teacher"]["metrics"]["rmse"]["value"] == pytest.approx(expected, rel=1e-3)
    assert results["models"]["teacher"]["cost"]["parameters"] is None
    assert results["models"]["student"]["metrics"]["teacher_rmse"]["value"] > 0
    assert list(load_file(run / "models" / "teacher" / "model.safetensors")) == ["digest"]


def houses(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Text categories, a code, and cells without a value."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "city": draw.choice(["Rome", "Oslo", "Lima"], 240),
            "size": draw.normal(90, 20, 240).astype(np.float32),
            "zone": draw.integers(10, 14, 240),
        }
    )
    score = frame["size"] + 60 * (frame["city"] == "Oslo") - 30 * (frame["zone"] == 12)
    frame.loc[::9, "city"] = None
    frame.loc[::7, "size"] = np.nan
    frame["label"] = np.where(score > 120, "villa", np.where(score > 80, "house", "flat"))
    frame.to_csv(folder / "houses.csv", index=False)
    read = pd.read_csv(folder / "houses.csv")
    return read, {"use": "csv", "file": str(folder / "houses.csv"), "categorical": ["zone"]}


def encoder() -> Any:
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city", "zone"]), remainder="passthrough", sparse_threshold=0
    )


@pytest.mark.parametrize("student", [MLP, {"use": "decision_tree"}])
def test_it_sees_categories_by_their_names(student: Any, tmp_path: Path) -> None:
    frame, data = houses(tmp_path)
    features = frame[["zone", "city", "size"]]
    teacher = make_pipeline(encoder(), HistGradientBoostingClassifier(max_iter=20, random_state=0))
    teacher.fit(features, frame["label"])
    changes = {"task": "tabular_classification", "data": data, "objective": {"soft": {"loss": "kl_divergence"}}}
    run = limbeck.run(given(student, **changes), models={"teacher": teacher}, output=tmp_path / "run")
    results = results_of(run)
    recipe, _ = open_recipe(run / "recipe.yaml", {}, None, ['models.teacher={"use": "mlp"}'], None)
    test = load_task(recipe, None).test.index.numpy()
    expected = accuracy_score(frame["label"].iloc[test], teacher.predict(features.iloc[test]))
    assert results["models"]["teacher"]["metrics"]["accuracy"]["value"] == pytest.approx(expected)


def test_probabilities_are_those_of_the_estimator() -> None:
    task = TabularClassification(BreastCancer().load(), ImageSettings())
    rows, target = load_breast_cancer(return_X_y=True)
    names = load_breast_cancer().target_names
    by_number = RandomForestClassifier(20, random_state=0).fit(rows, target)
    by_name = RandomForestClassifier(20, random_state=0).fit(rows, names[target])
    inputs = task.read(task.test, torch.arange(40))["inputs"]
    for estimator in (by_name, *([by_number] if list(task.classes) == list(names) else [])):
        logits = task.from_estimator(estimator)(inputs)["logits"].double()
        found = dict(zip(task.classes, logits.softmax(1).numpy().T, strict=True))
        places = task.test.index[:40].numpy()
        for column, name in enumerate(np.asarray(estimator.classes_)):
            named = name if isinstance(name, str) else names[name]
            np.testing.assert_allclose(found[named], estimator.predict_proba(rows[places])[:, column], atol=1e-4)


def test_several_targets_and_images(tmp_path: Path) -> None:
    data = several()
    task = Regression({"train": data}, ImageSettings())
    known = task.teacher_rows.rows
    values = np.concatenate([known.numeric.numpy(), known.categorical.numpy()], 1)[:, [0, 9, *range(1, 9)]]
    forest = RandomForestRegressor(5, random_state=0).fit(values, known.target.nan_to_num().numpy())
    features = task.read(known, torch.arange(len(known)))["inputs"]
    np.testing.assert_allclose(
        task.from_estimator(forest)(features)["value"].numpy(), forest.predict(values), rtol=1e-5
    )
    images = torch.rand(80, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    pixels = Regression({"train": ImageSet.from_tensor(images, images[:, 0, 1, 1], ())}, ImageSettings())
    linear = GradientBoostingRegressor(random_state=0).fit(images.flatten(1).numpy(), images[:, 0, 1, 1].numpy())
    found = pixels.from_estimator(linear)(images)["value"].numpy()
    np.testing.assert_allclose(found, linear.predict(images.flatten(1).numpy()), rtol=1e-5)


def test_lightgbm_of_an_array_has_no_names(tmp_path: Path) -> None:
    package = pytest.importorskip("lightgbm")
    rows, target = patients(frame=False)
    teacher = package.LGBMRegressor(n_estimators=10, verbose=-1).fit(rows, target)
    task = Regression(Diabetes().load(), ImageSettings())
    found = task.from_estimator(teacher)(task.read(task.test, torch.arange(30))["inputs"])["value"]
    np.testing.assert_allclose(found, teacher.predict(rows[task.test.index[:30].numpy()]), rtol=1e-3)


def stages(run: Path) -> set[str]:
    return {path.name for path in (run.parent / ".stages").iterdir()}


def student(run: Path) -> dict[str, Any]:
    weights: dict[str, Any] = load_file(run / "models" / "student" / "model.safetensors")
    return weights


def test_content_is_the_key_of_stages_and_caches_and_caches_change_nothing(tmp_path: Path) -> None:
    rows, target = patients(frame=True)

    def teacher(trees: int) -> Any:
        return RandomForestRegressor(trees, random_state=0).fit(rows, target)

    live = limbeck.run(given(cache=False), models={"teacher": teacher(5)}, output=tmp_path / "live" / "run")
    asked = given(cache={"teachers": ["teacher"]})
    first = limbeck.run(asked, models={"teacher": teacher(5)}, output=tmp_path / "runs" / "first")
    assert list((tmp_path / "runs" / ".caches").iterdir())
    assert all(torch.equal(value, student(first)[name]) for name, value in student(live).items())
    before = stages(first)
    again = limbeck.run(asked, models={"teacher": teacher(5)}, output=tmp_path / "runs" / "again")
    assert stages(again) == before
    other = limbeck.run(asked, models={"teacher": teacher(6)}, output=tmp_path / "runs" / "other")
    assert stages(other) > before
    assert any(not torch.equal(value, student(other)[name]) for name, value in student(first).items())


def test_one_without_a_hash_is_told_apart_by_what_it_predicts() -> None:
    rows, target = patients(frame=False)
    task = Regression(Diabetes().load(), ImageSettings())
    digests = []
    for factor in (1.0, 1.0, 1.001):
        scaled = make_pipeline(
            FunctionTransformer(lambda values, by=factor: values * by), GradientBoostingRegressor(random_state=0)
        )
        model: Any = task.from_estimator(scaled.fit(rows, target))
        digests.append(model.digest.tolist())
        target = target if factor != 1.0 else target.copy()
        if len(digests) == 2:
            target = target + 1
    assert digests[0] == digests[1] != digests[2]


PLUGIN = '''
from sklearn.ensemble import HistGradientBoostingRegressor

from limbeck.registry import register


@register("model", "histograms", pretrained=True)
def histograms(*, rounds: int = 20):
    """Boosting on histograms, fitted by the run."""
    return HistGradientBoostingRegressor(max_iter=rounds, random_state=0)
'''


def test_a_plugin_names_one_that_the_run_fits(tmp_path: Path) -> None:
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN, encoding="utf-8")
    models = {"teacher": {"use": "histograms", "rounds": 15}, "student": {"use": "decision_tree", "leaves": 8}}
    run = limbeck.run(recipe(models=models), plugin=file, output=tmp_path / "run")
    rows, target = patients(frame=True)
    rows["sex"] = rows["sex"].astype(float)
    task = Regression(Diabetes().load(), ImageSettings())
    known, test = (part.index.numpy() for part in (task.teacher_rows.rows, task.test))
    expected = HistGradientBoostingRegressor(max_iter=15, random_state=0)
    expected.fit(rows.iloc[known].astype(np.float32).astype(float), target[known])
    rmse = root_mean_squared_error(target[test], expected.predict(rows.iloc[test].astype(np.float32).astype(float)))
    assert results_of(run)["models"]["teacher"]["metrics"]["rmse"]["value"] == pytest.approx(rmse, rel=1e-4)


def test_one_that_is_not_fitted_is_fitted_once_to_labelled_rows(tmp_path: Path) -> None:
    data = houses(tmp_path)[1]
    fits: list[int] = []

    class Counting(LogisticRegression):
        def fit(self, rows: Any, labels: Any, sample_weight: Any = None) -> Any:
            fits.append(len(labels))
            return super().fit(rows, labels, sample_weight)

    teacher = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city", "zone"])), Counting(max_iter=1000)
    )
    changes = {"task": "tabular_classification", "data": data, "objective": {"soft": {"loss": "kl_divergence"}}}
    run = limbeck.run(given({"use": "decision_tree"}, **changes), models={"teacher": teacher}, output=tmp_path / "run")
    assert len(fits) == 1
    assert not hasattr(teacher[-1], "coef_")
    assert results_of(run)["models"]["teacher"]["metrics"]["accuracy"]["value"] > 0.4


def refused(models: dict[str, Any], message: str, folder: Path, **changes: Any) -> None:
    with pytest.raises(LimbeckError, match=message):
        limbeck.run(given(**changes), models=models, output=folder / "run")
    assert not (folder / "run").exists()


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows, target = patients(frame=True)
    forest = RandomForestRegressor(3, random_state=0)
    wrong = forest.fit(rows.rename(columns={"bmi": "body_mass"}), target)
    refused({"teacher": wrong}, r"models.teacher: RandomForestRegressor was fitted to a column 'body_mass'", tmp_path)
    few = RandomForestRegressor(3).fit(rows.to_numpy()[:, :4], target)
    refused({"teacher": few}, r"fitted to 4 columns, and the data has 10: age, sex", tmp_path)
    refused({"teacher": object()}, r"give a torch module, or an estimator with predict", tmp_path)
    with pytest.raises(
        RecipeError, match=r"models.student is an estimator, which this run can neither train nor export"
    ):
        limbeck.run(
            {**recipe(), "models": {"teacher": {"use": "ridge"}}},
            models={"student": RandomForestRegressor(3).fit(rows, target)},
            output=tmp_path / "run",
        )
    frame, data = houses(tmp_path)
    changes = {"task": "tabular_classification", "data": data, "objective": {"soft": {"loss": "kl_divergence"}}}
    features = frame[["city", "size", "zone"]]
    filled = features.fillna({"city": "Rome", "size": 90.0})
    ridge = make_pipeline(encoder(), RidgeClassifier()).fit(filled, frame["label"])
    refused({"teacher": ridge}, r"has no predict_proba", tmp_path, **changes)
    others = make_pipeline(encoder(), LogisticRegression(max_iter=2000)).fit(filled, frame["label"].str.upper())
    refused({"teacher": others}, r"knows the classes FLAT, HOUSE, VILLA, and the data has flat", tmp_path, **changes)
    gaps = make_pipeline(encoder(), LogisticRegression(max_iter=2000)).fit(filled, frame["label"])
    refused(
        {"teacher": gaps}, r"models.teacher: .*cannot predict rows of the data.*missing values", tmp_path, **changes
    )


def test_texts_take_torch_modules_alone(tmp_path: Path) -> None:
    from tasks.small_texts import recipe as texts

    made = texts(tmp_path)
    made["models"] = {"student": {"use": "bag_of_words"}}
    with pytest.raises(RecipeError, match=r"models.teacher: it is a RandomForestClassifier, and this task takes torch"):
        limbeck.run(made, models={"teacher": RandomForestClassifier()}, output=tmp_path / "run")


def test_the_environment_is_json(tmp_path: Path) -> None:
    """The recipe of the run says that an object stands there, and resume asks for it again."""
    rows, target = patients(frame=True)
    teacher = RandomForestRegressor(3, random_state=0).fit(rows, target)
    run = limbeck.run(given(), models={"teacher": teacher}, output=tmp_path / "run")
    assert json.loads((run / "models" / "teacher" / "config.json").read_text(encoding="utf-8"))["model"] is None
    with pytest.raises(LimbeckError, match="begun with real objects for teacher"):
        api.resume(run)
    assert api.resume(run, models={"teacher": teacher}) == run
