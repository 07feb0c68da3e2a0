"""`limbeck predict`: classes and probabilities by the shipped file alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from PIL import Image, ImageOps
from scipy.special import softmax
from sklearn.datasets import load_digits
from torch import nn

import limbeck.api
from limbeck.errors import ArgumentError, DataError, RecipeError, RunError
from limbeck.export import export_onnx
from limbeck.runs.prediction import predict
from recipes.shell import Shell
from refusals import refused
from runs.finished import Go
from runs.without_torch import predicted_without_torch
from tasks.small_texts import recipe, review

IMAGES = {"task": "image_classification", "delivery": {"predictor": "limbeck.export.predictors.images:predict"}}
TEXTS = [review(row)[0] for row in range(240, 252)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that is a folder of `from_pretrained`: a BERT that reads with its teacher's tokenizer."""
    folder = tmp_path_factory.mktemp("reviews")
    student = {"use": "bert", "width": 16, "neurons": 32, "length": 16}
    tokenizer = {"use": "folder", "folder": str(folder / "teacher")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMBECK_CACHE", str(folder / "kept"))
        return limbeck.api.run(recipe(folder, **student, tokenizer=tokenizer), output=folder / "run")


@pytest.mark.parametrize(("int8", "bound"), [(False, 1e-5), (True, 0.05)])
def test_probabilities_are_those_of_the_model_in_pytorch(run: Path, int8: bool, bound: float) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run / "models" / "student").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "models" / "student")
    rows = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=12, return_tensors="pt")
    with torch.no_grad():
        expected = model(**rows).logits.softmax(1).numpy()
    found = predict(run, TEXTS, int8=int8)
    assert [list(one["probabilities"]) for one in found] == [["negative", "positive"]] * len(TEXTS)
    given = np.array([list(one["probabilities"].values()) for one in found])
    difference = np.abs(given - expected).max()
    assert difference < bound
    assert (difference > 1e-6) == int8
    for one in found:
        assert one["class"] == max(one["probabilities"], key=one["probabilities"].__getitem__)


def test_the_command_line(run: Path, shell: Shell) -> None:
    code, out, err = shell("predict", str(run), *TEXTS[:2])
    assert (code, err) == (0, "")
    assert [line.split("  ")[2] for line in out.splitlines()] == TEXTS[:2]
    code, out, _ = shell("predict", str(run), TEXTS[0], "--json")
    assert json.loads(out) == predict(run, TEXTS[:1])


def test_what_cannot_be_predicted_is_refused(run: Path, tmp_path: Path) -> None:
    with refused(ArgumentError, "missing", "inputs", match="text 2 is empty"):
        predict(run, ["good", "  "])
    with refused(
        ArgumentError, "mismatch", "pairs", match=r"1 text\(s\) and 1 second ones; the model takes 1 text\(s\)"
    ):
        predict(run, ["good"], pairs=["bad"])
    with refused(ArgumentError, "missing", "inputs"):
        predict(run, [])


def test_what_is_no_finished_run_is_one_line(shell: Shell) -> None:
    (shell.folder / "begun").mkdir()
    assert shell.refused("predict", "runs/none", "good") == (
        "limbeck: runs/none is no finished run: there is no such folder\n"
    )
    assert shell.refused("predict", "begun", "good") == (
        "limbeck: begun is no finished run: there is no results.json in it\n"
    )
    (shell.folder / "begun" / "results.json").write_text("[]", encoding="utf-8")
    assert "begun is no finished run (TypeError: " in shell.refused("predict", "begun", "good")


def shipped(folder: Path, model: nn.Module, **results: Any) -> Path:
    """A run of images, as far as it is needed here."""
    example = torch.zeros(1, 3, 4, 6)
    (folder / "export").mkdir()
    export_onnx(
        model,
        folder / "export/student.onnx",
        example=example,
        outputs={"logits": ("batch",)},
        names={"logits": ["dark", "light"]},
        metadata={"problem_type": "single_label_classification"},
    )
    found = {**IMAGES, "export": {"file": "export/student.onnx"}, **results}
    (folder / "results.json").write_text(json.dumps(found))
    return folder


class Brightness(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([1 - mean, mean], 1)


def test_images_are_brought_to_the_size_and_channels_of_the_model(tmp_path: Path) -> None:
    folder = shipped(tmp_path, Brightness())
    Image.fromarray(np.full((30, 50), 204, np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "dark.png")
    found = predict(folder, [str(tmp_path / "grey.png"), str(tmp_path / "dark.png")])
    assert [one["class"] for one in found] == ["light", "dark"]
    expected = np.exp(0.8) / (np.exp(0.8) + np.exp(0.2))
    assert found[0]["probabilities"]["light"] == pytest.approx(expected, abs=1e-6)
    with refused(DataError, "unreadable", tmp_path / "none.png"):
        predict(folder, [str(tmp_path / "none.png")])


def test_a_run_without_the_file(tmp_path: Path) -> None:
    folder = shipped(tmp_path, Brightness())
    with pytest.raises(
        RunError,
        match=r"has no such file; run its recipe with export: \{formats: \[onnx, int8\]\}; of trees and a bag of words",
    ):
        predict(folder, ["a.png"], int8=True)
    (folder / "results.json").write_text(json.dumps({**IMAGES, "export": None}))
    with refused(RunError, "not_found", folder, match=r"run its recipe with export: \{formats: \[onnx\]\}"):
        predict(folder, ["a.png"])


def test_a_run_of_plain_text_says_where_its_student_is(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(
        json.dumps({"task": "masked_language_modelling", "delivery": {"predictor": None}, "export": None})
    )
    with refused(
        RunError,
        "unsupported",
        tmp_path,
        match=r"its task exports nothing; its student goes on .* from .*/models/student$",
    ):
        predict(tmp_path, ["good"])


def test_texts_need_no_torch(run: Path) -> None:
    texts = [*TEXTS, "Good [SEP] film!", "good " * 30, "naïve 猫"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "models" / "student")
    session = onnxruntime.InferenceSession(run / "export" / "student.onnx")
    rows = tokenizer(texts, padding=True, truncation=True, max_length=12, return_tensors="np")
    logits = session.run(["logits"], {one.name: rows[one.name] for one in session.get_inputs()})[0]
    found = predicted_without_torch(run, *texts)
    given = np.array([list(one["probabilities"].values()) for one in found])
    # The file is run with one fusion less than here: the last digits of float32 differ.
    np.testing.assert_allclose(given, softmax(logits.astype(np.float64), axis=1), rtol=1e-6)


def test_images_need_no_torch(go: Go, tmp_path: Path) -> None:
    finished = go({"export.formats": ["onnx"]})
    assert finished.results["delivery"] == {"predictor": "limbeck.export.predictors.images:predict"}
    digit = load_digits().images[5]
    Image.fromarray((digit / 16 * 255).astype(np.uint8)).resize((20, 30)).save(tmp_path / "five.png")
    with Image.open(tmp_path / "five.png") as image:
        fitted = ImageOps.fit(image.convert("L"), (8, 8), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(fitted)).float() / 255
    session = onnxruntime.InferenceSession(finished.path / "export" / "student.onnx")
    (logits,) = session.run(None, {"image": pixels[None, None].numpy()})
    (found,) = predicted_without_torch(finished.path, str(tmp_path / "five.png"))
    np.testing.assert_allclose(list(found["probabilities"].values()), softmax(logits.astype(np.float64)[0]), rtol=1e-12)


PLUGIN = """
{imports}
from limbeck.export import Prediction

def predict(inputs, pairs, folder, session):
    rows = [[float(part) for part in row.split("/")] for row in inputs]
    import numpy as np
    values = session(np.array(rows))[session.main]
    return [Prediction({{"sum": float(value)}}, f"{{value}} in all") for value in values]
"""


class Sum(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.sum(1)


def with_plugin(folder: Path, imports: str) -> Path:
    """A run whose predictor is in a plugin, as far as it is needed here."""
    (folder / "export").mkdir()
    file, plugin = folder / "export" / "student.onnx", folder / "sums_of_mine.py"
    export_onnx(Sum(), file, example=torch.rand(1, 2), outputs={"sum": ("batch",)}, metadata={})
    plugin.write_text(PLUGIN.format(imports=imports))
    results = {"task": "sums", "delivery": {"predictor": "limbeck_plugin_sums_of_mine:predict"}}
    results["export"] = {"file": "export/student.onnx"}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "environment.json").write_text(json.dumps({"plugin": str(plugin)}))
    return folder


@pytest.mark.parametrize("imports", ["", "import torch"])
def test_a_predictor_of_a_plugin_is_loaded_from_its_file(tmp_path: Path, imports: str) -> None:
    folder = with_plugin(tmp_path, imports)
    found = predicted_without_torch(folder, "1.5/2", "0/-1", allowed=("torch",) if imports else ())
    assert found == [{"sum": 3.5}, {"sum": -1.0}]


@pytest.fixture
def unloaded() -> Iterator[None]:
    yield
    sys.modules.pop("limbeck_plugin_sums_of_mine", None)


@pytest.mark.usefixtures("unloaded")
def test_a_predictor_that_is_nowhere_is_told(tmp_path: Path) -> None:
    folder = with_plugin(tmp_path, "")
    plugin, environment = folder / "sums_of_mine.py", folder / "environment.json"
    plugin.rename(folder / "moved.py")
    with refused(RecipeError, "not_found", plugin):
        predict(folder, ["1/2"])
    environment.unlink()
    with refused(
        RunError, "not_installed", match="limbeck_plugin_sums_of_mine is not installed, and the run has no plugin"
    ):
        predict(folder, ["1/2"])
    environment.write_text(json.dumps({"plugin": str(folder / "moved.py")}))
    with pytest.raises(RunError, match=r"sums_of_mine is not installed, and the plugin .*moved\.py does not define it"):
        predict(folder, ["1/2"])
    plugin.write_text("")
    environment.write_text(json.dumps({"plugin": str(plugin)}))
    with refused(RunError, "unknown_name", match="limbeck_plugin_sums_of_mine has no function 'predict'"):
        predict(folder, ["1/2"])
    sys.modules.pop("limbeck_plugin_moved")


def test_a_run_that_names_no_predictor_is_told(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"task": "image_classification", "export": None}))
    with refused(RunError, "changed", tmp_path, match="is a run of another version, which names no predictor"):
        predict(tmp_path, ["a.png"])
