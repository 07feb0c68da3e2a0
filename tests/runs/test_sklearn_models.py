"""Students of scikit-learn in recipes: fitted to what a teacher says, like their control to labels alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

import limbeck
from limbeck import api
from limbeck.errors import RecipeError
from limbeck.models import SklearnModule, folder_tokenizer
from limbeck.recipes.read import read_recipe
from limbeck.runs.prediction import predict
from recipes.small import GONE, changed, resolve
from runs.finished import Go, Run
from tasks.small_texts import recipe, review, write_csv
from tasks.small_topics import topics_recipe

NAMES = ("logistic_regression", "decision_tree", "random_forest")


@pytest.fixture(autouse=True)
def _kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def reviews(folder: Path, **student: Any) -> dict[str, Any]:
    """With labels for 60 of 204 rows, and 50 more that have none."""
    made = recipe(folder, **student)
    more = str(write_csv(folder / "more.csv", range(300, 350), label=False))
    made["data"]["unlabelled"] = {"use": "csv", "file": more, "text": "review", "label": None}
    made["objective"] = {"soft": {"loss": "kl_divergence"}}
    del made["train"]
    made["export"] = {"formats": ["onnx"]}
    return made


@pytest.mark.parametrize("name", NAMES)
def test_texts(name: str, tmp_path: Path) -> None:
    run = Run(limbeck.run(reviews(tmp_path, use=name), output=tmp_path / "run"))
    assert run.results["label_budget"] == {"training": 60, "validation": 0, "unlabelled": 144 + 50}
    assert run.results["export"]["max_difference"] < 1e-5
    assert run.accuracy("student") > 0.8
    # Of two classes it can be nothing but 1.
    assert "top5_accuracy" not in run.results["models"]["student"]["metrics"]
    assert run.results["comparisons"][0]["a"] == "student"
    assert "control" in run.results["models"]
    assert {event["stage"] for event in run.events} == {"teacher", "control", "student"}
    assert "the same student trained without a teacher" in (run.path / "report.html").read_text(encoding="utf-8")
    text, label = review(7)
    (found,) = predict(run.path, [text])
    assert found["class"] == label
    again = limbeck.run(
        {
            **reviews(tmp_path),
            "models": {"teacher": {"run": str(run.path)}, "student": {"use": "bag_of_words"}},
            "train": {"epochs": 1},
            "export": {"formats": []},
        },
        output=tmp_path / "again",
    )
    assert Run(again).accuracy("teacher") == run.accuracy("student")


def test_the_control_is_what_scikit_learn_makes_of_labels_alone(tmp_path: Path) -> None:
    run = Run(limbeck.run(reviews(tmp_path, use="logistic_regression", words="tf_idf"), output=tmp_path / "run"))
    resolved = read_recipe(run.path / "recipe.yaml")[1]
    task = api.prepare_pipeline(api.start_accelerator(), resolved, {}, None, (), None)[0].task
    tokenizer = folder_tokenizer(folder=str(run.path / "models" / "control"))
    texts = [row[0] for row in task.student_rows.rows.texts]
    ids = tokenizer(texts, truncation=True, max_length=12)["input_ids"]
    counts = np.stack([np.bincount(row, minlength=len(tokenizer)) for row in ids])
    features = TfidfTransformer().fit_transform(counts).toarray()
    target = task.student_rows.rows.target.numpy()
    known = target >= 0
    expected = LogisticRegression(max_iter=1000).fit(features[known], target[known])
    control, student = (run.weights(name) for name in ("control", "student"))
    weight = control["model.model.weight"]
    np.testing.assert_allclose((weight[1] - weight[0]).numpy(), expected.coef_[0], atol=1e-3)
    # Both learn the document frequencies from all rows of the student.
    assert torch.equal(control["model.scaling.rarity"], student["model.scaling.rarity"])
    assert (student["model.model.weight"] - weight).abs().max() > 0.1


@pytest.mark.parametrize("labels", [None, 20, 34])
def test_few_rows_are_enough(labels: int | None, tmp_path: Path) -> None:
    made = recipe(tmp_path, use="logistic_regression")
    made["data"] |= {"limit": 35, "labels": labels}
    made |= {"objective": SOFT, "export": {"formats": []}}
    del made["train"]
    run = Run(limbeck.run(made, output=tmp_path / "run"))
    assert run.results["label_budget"]["training"] == (labels or 35)
    assert "control" in run.results["models"]


@pytest.mark.parametrize("name", NAMES)
def test_images(name: str, go: Go) -> None:
    run = go(
        {
            "models.student": {"use": name},
            "models.teacher.train.epochs": 20,
            "objective": {"soft": {"loss": {"use": "kl_divergence", "temperature": 2.0}}},
            "train": GONE,
            "export": GONE,
        }
    )
    assert run.results["export"]["max_difference"] < 1e-4
    assert run.results["label_budget"]["unlabelled"] > 1000
    assert run.results["models"]["student"]["metrics"]["teacher_agreement"]["value"] > 0.6


def test_a_forest_teaches(go: Go) -> None:
    run = go({"models.teacher": {"use": "random_forest", "trees": 20}, "train.epochs": 1})
    assert run.accuracy("teacher") > 0.9


def test_a_run_that_is_ended_while_it_fits_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = changed(
        {
            "models.student": {"use": "random_forest", "trees": 5},
            "objective": {"soft": {"loss": "kl_divergence"}},
            "train": GONE,
        }
    )
    whole = Run(limbeck.run(made, output=tmp_path / "one" / "whole"))
    fit, fits = SklearnModule.fit_, 0

    def ended(part: SklearnModule, *args: Any, **options: Any) -> None:
        nonlocal fits
        fits += 1
        if fits == 2:
            raise KeyboardInterrupt
        fit(part, *args, **options)

    monkeypatch.setattr(SklearnModule, "fit_", ended)
    folder = tmp_path / "other" / "run"
    with pytest.raises(KeyboardInterrupt):
        limbeck.run(made, output=folder)
    assert not list((folder.parent / ".stages").glob(".*.tmp"))
    api.resume(folder)
    assert fits == 3
    for name in ("control", "student"):
        first, again = whole.weights(name), Run(folder).weights(name)
        assert all(torch.equal(first[key], again[key]) for key in first)


SOFT = {"soft": {"loss": "kl_divergence"}}
TREE = {"models.student": {"use": "decision_tree"}, "objective": SOFT, "train": GONE}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "steps": (
        {**TREE, "train": {"epochs": 3}},
        r"train.epochs is 3: models.student is fitted at once.*all but the seed",
    ),
    "a last stage": ({**TREE, "train": {"finetune": {"epochs": 1}}}, r"train.finetune"),
    "a choice of epochs": ({**TREE, "train": {"select": "best"}}, r"train.select is 'best'"),
    "mixed temperatures": (
        {
            **TREE,
            "objective": {
                **SOFT,
                "soft": {"loss": {"use": "kl_divergence", "temperature": 2}},
                "hard": {"loss": "cross_entropy"},
            },
        },
        r"the student: the student is fitted at once to one mix.*temperatures are \[1.0, 2.0\]",
    ),
    "another loss": ({**TREE, "objective": {"soft": {"loss": "mse_logits"}}}, r"objective.soft: .* by cross_entropy"),
    "balance": ({**TREE, "balance": {"use": "uncertainty"}}, r"balance: the student is fitted at once"),
    "classes in balance": ({**TREE, "data.class_balance": True}, r"data.class_balance: the student is fitted at once"),
    "exits": (
        {**TREE, "models.student": {"use": "decision_tree", "exits": {"one": "1"}, "features": "1"}},
        r"models.student is fitted at once.*remove exits",
    ),
    "a peer": (
        {**TREE, "models.peer": {"use": "mlp", "train": "together"}},
        r"models.peer: the student is fitted at once.*together with it",
    ),
    "fitted together": (
        {"models.peer": {"use": "decision_tree", "train": "together"}},
        r"models.peer is fitted at once.*cannot train together",
    ),
    "a teacher in steps": (
        {"models.teacher": {"use": "decision_tree", "train": {"epochs": 2}}},
        r"models.teacher.train.epochs is 2",
    ),
    "8 bits of trees": ({**TREE, "export": {"formats": ["onnx", "int8"]}}, r"Trees has no products"),
    "a cache": (
        {**TREE, "cache": {"teachers": ["teacher"]}},
        r"cannot be cached: a student that is fitted at once reads every row once",
    ),
    "a checkpoint to go on from": (
        {**TREE, "models.student": {"use": "decision_tree", "checkpoint": "tree.safetensors"}},
        r"models.student.checkpoint: .*keeps nothing of a checkpoint; remove it",
    ),
    "a checkpoint of a teacher that learns": (
        {"models.teacher": {"use": "decision_tree", "checkpoint": "tree.safetensors", "train": {}}},
        r"models.teacher.checkpoint: .*keeps nothing of a checkpoint",
    ),
    "leaves": ({**TREE, "models.student": {"use": "decision_tree", "leaves": 1}}, r"leaves is 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_is_refused_before_any_work(name: str, tmp_path: Path, no_training: None) -> None:
    changes, message = REFUSED[name]
    with pytest.raises(RecipeError, match=message):
        limbeck.run(changed({"data.augment": GONE, **changes}), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("loss", ["kl_divergence", "binary_kd"])
@pytest.mark.parametrize("kind", ["lists", "columns"])
def test_rows_of_several_classes_are_refused(kind: str, loss: str, tmp_path: Path, no_training: None) -> None:
    made = topics_recipe(tmp_path, use="logistic_regression")
    del made["train"]
    if kind == "columns":
        lines = ["text,war,trade", *(f"the film {row},{row % 2},{row % 3 // 2}" for row in range(60))]
        (tmp_path / "columns.csv").write_text("\n".join(lines), encoding="utf-8")
        made["data"] = {
            "use": "csv",
            "file": str(tmp_path / "columns.csv"),
            "label": ["war", "trade"],
            "max_length": 12,
        }
    made["objective"] = {"soft": {"loss": loss}}
    with pytest.raises(RecipeError, match=r"models.student is fitted to rows of one class, and these may have several"):
        limbeck.run(made, output=tmp_path / "run")


def test_a_fitted_model_of_a_run_does_not_learn_on(go: Go, no_training: None, tmp_path: Path) -> None:
    model = limbeck.models.decision_tree(channels=1, classes=10, size=(8, 8))
    with pytest.raises(RecipeError, match=r"models.student was fitted at once, and cannot go on"):
        limbeck.run(changed({"models.student": GONE}), models={"student": model}, output=tmp_path / "run")


def test_copies_that_nobody_learns_from_are_not_made(tmp_path: Path, no_training: None) -> None:
    made = reviews(tmp_path, use="logistic_regression")
    made["data"]["augment"] = {"folder": str(tmp_path / "none"), "copies": 2}
    with pytest.raises(RecipeError, match=r"data.augment: the student is fitted .* as they are, and nobody else"):
        limbeck.run(made, output=tmp_path / "run")
    made["models"]["assistant"] = {**made["models"]["teacher"], "objective": SOFT}
    assert resolve(made, name="a")["data"]["augment"]["copies"] == 2


def test_that_changes_of_images_are_for_others_is_told() -> None:
    message = "models.student is fitted to the rows as they are; data.augment changes them for other models alone"
    plain = changed({**TREE, "data.augment": GONE})
    notes = [
        api.prepare_pipeline(api.start_accelerator(), one, {}, None, (), None)[1] for one in (changed(TREE), plain)
    ]
    assert notes == [[message], []]


def test_it_resolves_to_itself() -> None:
    once = resolve(changed({**TREE, "models.student": {"use": "random_forest", "leaves": 8}}), name="a")
    assert resolve(once, name="a") == once
    assert once["models"]["student"]["leaves"] == 8
