"""A tree as text: read again by the test, it predicts what the exported file does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.tree import DecisionTreeRegressor

import limbeck
from limbeck.data import ImageSet, TableSet
from limbeck.data.sources.diabetes import Diabetes
from limbeck.export import Session
from limbeck.runs.prediction import predict
from limbeck.tasks import ImageSettings, Regression
from tasks.test_fitted_regression import inputs, recipe, results_of, several


def trees_in(file: Path) -> dict[str, list[str]]:
    """The lines of each tree, by its title."""
    trees: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines()[1:]:
        if line.startswith("#"):
            lines = trees.setdefault(line.removeprefix("# "), [])
        elif line:
            lines.append(line)
    return trees


def follow(lines: list[str], row: dict[str, Any]) -> str:
    """The leaf that a row, by column, comes to."""
    depth = at = 0
    while lines[at].endswith(":"):
        condition = lines[at].strip().removesuffix(":")
        if holds(condition, row):
            depth, at = depth + 1, at + 1
        else:
            # To the next line of the same depth.
            at = next(n for n in range(at + 1, len(lines)) if len(lines[n]) - len(lines[n].lstrip()) == 4 * depth)
    return lines[at].strip()


def holds(condition: str, row: dict[str, Any]) -> bool:
    number = re.fullmatch(r"(.+) (<=|>) (\S+)", condition)
    if number:
        column, sign, threshold = number.groups()
        return bool((row[column] <= float(threshold)) == (sign == "<="))
    category = re.fullmatch(r"(.+?) is (not )?(.+)", condition)
    assert category is not None, condition
    return bool((row[category[1]] == category[3]) != bool(category[2]))


def by_column(rows: TableSet) -> list[dict[str, Any]]:
    numbers = [column.name for column in rows.columns if column.is_numeric]
    others = [column for column in rows.columns if not column.is_numeric]
    return [
        dict(zip(numbers, values.tolist(), strict=True))
        | {one.name: ("", *(one.categories or ()))[code] for one, code in zip(others, codes.tolist(), strict=True)}
        for values, codes in zip(rows.numeric, rows.categorical, strict=True)
    ]


def features(rows: TableSet) -> np.ndarray[Any, Any]:
    return torch.cat([rows.numeric, rows.categorical.float()], 1).numpy()


def test_numbers_in_their_units(tmp_path: Path) -> None:
    run = limbeck.run(recipe(), output=tmp_path / "run")
    test = Regression(Diabetes().load(), ImageSettings()).test
    (title, lines), *_ = trees_in(run / "models" / "student" / "tree.txt").items()
    assert title.endswith(" in points")
    assert sum("points" in line for line in lines) == 6
    leaves = [follow(lines, row) for row in by_column(test)]
    expected = Session(run / "export" / "student.onnx")(features(test))["value"]
    np.testing.assert_allclose([float(leaf.removesuffix(" points")) for leaf in leaves], expected, rtol=1e-5)


def test_several_numbers_have_a_tree_each(tmp_path: Path) -> None:
    data = several()
    run = limbeck.run(recipe(data={}), data={"train": data}, output=tmp_path / "run")
    test = Regression({"train": data}, ImageSettings()).test
    trees = trees_in(run / "models" / "control" / "tree.txt")
    assert list(trees) == ["progression in points", "debt in EUR"]
    trees = trees_in(run / "models" / "student" / "tree.txt")
    leaves = [[float(follow(lines, row).split()[0]) for lines in trees.values()] for row in by_column(test)]
    expected = Session(run / "export" / "student.onnx")(features(test))["value"]
    np.testing.assert_allclose(leaves, expected, rtol=1e-4)


def test_probabilities_of_classes_and_names_of_categories(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    cities, sizes = draw.choice(["Rome", "Oslo", "Lima"], 300), draw.normal(50, 20, 300)
    labels = np.where(cities == "Oslo", "cold", np.where(sizes > 60, "large", "small"))
    records = [
        {"city": city, "size": float(size), "label": label}
        for city, size, label in zip(cities, sizes, labels, strict=True)
    ]
    given = recipe(
        task="tabular_classification",
        data={},
        models={"teacher": {"use": "random_forest", "trees": 5}, "student": {"use": "decision_tree", "leaves": 4}},
        objective={"soft": {"loss": {"use": "kl_divergence", "temperature": 2.0}}},
    )
    run = limbeck.run(given, data=records, output=tmp_path / "run")
    (lines,) = trees_in(run / "models" / "student" / "tree.txt").values()
    assert any("city is Oslo" in line for line in lines)
    session = Session(run / "export" / "student.onnx")
    codes = {"Lima": 1, "Oslo": 2, "Rome": 3}
    inputs = np.array([[size, codes[city]] for city, size in zip(cities, sizes, strict=True)], np.float32)
    logits = session(inputs)["logits"].astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for city, size, probabilities in zip(cities, sizes, expected, strict=True):
        leaf = follow(lines, {"city": city, "size": float(np.float32(size))})
        found = {name: float(value) for name, value in (part.split() for part in leaf.split(", "))}
        assert [found[name] for name in session.names["logits"]] == pytest.approx(probabilities, abs=1e-4)
    named = predict(run, [f"{sizes[0]},{cities[0]}", f'{{"city": "{cities[1]}", "size": {sizes[1]}}}'])
    for at, prediction in enumerate(named):
        assert prediction["probabilities"] == pytest.approx(
            dict(zip(session.names["logits"], expected[at], strict=True))
        )
    # A teacher of many trees is not one tree.
    assert not (run / "models" / "teacher" / "tree.txt").exists()


def test_pixels(tmp_path: Path) -> None:
    images = torch.rand(150, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    data = ImageSet.from_tensor(images, (images[:, 1, 2, 3] > 0.5).float(), ())
    run = limbeck.run(recipe(data={}), data={"train": data}, output=tmp_path / "run")
    (lines,) = trees_in(run / "models" / "control" / "tree.txt").values()
    condition = re.fullmatch(r"pixel\[1, 2, 3\] <= (\S+):", lines[0])
    assert condition is not None
    assert float(condition[1]) == pytest.approx(0.5, abs=0.05)


def test_image_files_are_predicted(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (80, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = ImageSet.from_tensor(images.float() / 255, images[:, 0, 0, 0].float(), ())
    run = limbeck.run(recipe(data={}), data={"train": data}, output=tmp_path / "run")
    Image.fromarray(images[3, 0].numpy()).save(tmp_path / "one.png")
    (found,) = predict(run, [str(tmp_path / "one.png")])
    expected = Session(run / "export" / "student.onnx")(images[3:4].float().numpy() / 255)["value"]
    assert found["value"] == pytest.approx(float(expected[0]), rel=1e-5)


def test_the_objective_is_stated_and_true(tmp_path: Path) -> None:
    run = limbeck.run(recipe(), output=tmp_path / "run")
    models = results_of(run)["models"]
    assert models["student"]["objective"] == (
        "minimises the squared error to 0.1 × labels + 0.9 × outputs of teacher, greedily, branch by branch, with at "
        "most 6 leaves; each part is a mean over the rows that it counts"
    )
    assert models["control"]["objective"].startswith("minimises the squared error to labels, greedily")
    assert models["teacher"]["objective"].endswith("in 20 trees of at most 8 leaves that are added up")
    assert models["student"]["tree"] == "models/student/tree.txt"
    for page in ("report.html", "README.md"):
        text = (run / page).read_text(encoding="utf-8").replace("\\", "")
        assert "Student minimises the squared error to 0.1 × labels + 0.9 × outputs of teacher" in text
        assert "models/student/tree.txt" in text
    # True: a tree of scikit-learn that is fitted to that mean predicts the same.
    task = Regression(Diabetes().load(), ImageSettings())
    known, test = task.student_rows.rows, task.test
    from limbeck.recipes.model_sources.from_run import load_run_model

    teacher = load_run_model(run / "models" / "teacher", task, "models.teacher").eval()
    with torch.no_grad():
        outputs = teacher(torch.from_numpy(features(known)))["value"].numpy()
    tree = DecisionTreeRegressor(max_leaf_nodes=6, max_depth=16, random_state=0)
    tree.fit(inputs(known), 0.1 * known.target.numpy() + 0.9 * outputs)
    found = Session(run / "export" / "student.onnx")(features(test))["value"]
    np.testing.assert_allclose(found, tree.predict(inputs(test)), rtol=1e-4)


def test_classifiers_state_theirs(tmp_path: Path) -> None:
    given = recipe(
        task="tabular_classification",
        data={"use": "breast_cancer"},
        models={"teacher": {"use": "logistic_regression"}, "student": {"use": "decision_tree"}},
        objective={"soft": {"loss": {"use": "kl_divergence", "temperature": 2.0}, "where": "batch.labelled"}},
    )
    models = results_of(limbeck.run(given, output=tmp_path / "run"))["models"]
    assert models["student"]["objective"].startswith(
        "minimises the Gini impurity of outputs of teacher at temperature 2 (where batch.labelled), greedily"
    )
    assert models["teacher"]["objective"] == (
        "minimises the cross-entropy with labels, with a penalty of 0.5 × the squared norm of the weights"
    )
