"""Multi-label tables and images: whole runs, compared with scikit-learn on the exported files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit
from sklearn.metrics import f1_score, roc_auc_score

import limbeck
from limbeck.export import Session
from limbeck.runs.prediction import predict

NAMES = ("bright", "wide")
ROWS, TESTED = 160, 40
Target = np.ndarray[Any, np.dtype[np.int64]]


def rows_of(count: int, seed: int) -> tuple[np.ndarray[Any, Any], Target]:
    """Two numbers per row; each decides one of the labels."""
    numbers = np.random.default_rng(seed).uniform(0, 1, (count, 2))
    return numbers, (numbers > 0.5).astype(np.int64)


def table(folder: Path) -> tuple[dict[str, Any], Any, Target]:
    for name, count, seed in (("train", ROWS, 0), ("test", TESTED, 1)):
        numbers, target = rows_of(count, seed)
        lines = [",".join(map(str, (*row, *labels))) for row, labels in zip(numbers, target, strict=True)]
        (folder / f"{name}.csv").write_text("\n".join([",".join(("a", "b", *NAMES)), *lines]), encoding="utf-8")
    numbers, target = rows_of(TESTED, 1)
    texts = [",".join(map(str, row)) for row in numbers]
    return {"task": "tabular_classification", "data": {"use": "csv"}}, (numbers.astype(np.float32), texts), target


def images(folder: Path) -> tuple[dict[str, Any], Any, Target]:
    """Images of two stripes: the two numbers of a row are their brightness."""
    for name, count, seed in (("train", ROWS, 0), ("test", TESTED, 1)):
        numbers, target = rows_of(count, seed)
        lines = [",".join(("image", *NAMES))]
        for number, (pair, labels) in enumerate(zip(numbers, target, strict=True)):
            pixels = np.repeat((pair * 255).astype(np.uint8), 2)[None].repeat(4, 0)
            Image.fromarray(pixels).save(folder / f"{name}{number}.png")
            lines.append(",".join(map(str, (f"{name}{number}.png", *labels))))
        (folder / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    files = [folder / f"test{number}.png" for number in range(TESTED)]
    held = np.stack([np.asarray(Image.open(file), np.float32)[None] / 255 for file in files])
    data = {"use": "csv", "folder": str(folder), "mode": "L", "size": 4}
    return {"task": "image_classification", "data": data}, (held, [str(file) for file in files]), rows_of(TESTED, 1)[1]


@pytest.mark.parametrize("make", [table, images], ids=["table", "images"])
def test_the_metrics_of_a_run_are_those_of_its_file(make: Any, tmp_path: Path) -> None:
    recipe, (inputs, texts), target = make(tmp_path)
    data = {
        **recipe["data"],
        "file": str(tmp_path / "train.csv"),
        "test_file": str(tmp_path / "test.csv"),
        "label": list(NAMES),
    }
    net = {"use": "mlp", "width": 16, "depth": 1}
    run = limbeck.run(
        {
            "schema": 1,
            "task": recipe["task"],
            "data": data,
            "models": {"teacher": {**net, "train": {"epochs": 30, "batch_size": 16}}, "student": net},
            "objective": {
                "hard": {"loss": "binary_cross_entropy", "weight": 0.5},
                "soft": {"loss": "binary_kd", "weight": 0.5},
            },
            "train": {"epochs": 30, "batch_size": 16, "precision": "float32"},
            "measure": {"draws": 100, "seconds": 0.01},
            "seeds": 1,
        },
        output=tmp_path / "run",
    )
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert (results["metric"], results["classes"]) == ("micro_f1", list(NAMES))
    probabilities = expit(Session(run / "export" / "student.onnx")(inputs)["logits"])
    called = probabilities > 0.5
    metrics = results["models"]["exported"]["metrics"]
    assert metrics["micro_f1"]["value"] == pytest.approx(f1_score(target, called, average="micro"))
    assert metrics["macro_f1"]["value"] == pytest.approx(f1_score(target, called, average="macro"))
    assert metrics["auroc"]["value"] == pytest.approx(roc_auc_score(target, probabilities, average="macro"))
    assert metrics["subset_accuracy"]["value"] == pytest.approx((called == target).all(1).mean())
    assert metrics["micro_f1"]["value"] > 0.8
    found = predict(run, texts[:5])
    given = [[one["probabilities"][name] for name in NAMES] for one in found]
    np.testing.assert_allclose(given, probabilities[:5], atol=1e-5)
    assert "label" in (run / "report.html").read_text(encoding="utf-8")
