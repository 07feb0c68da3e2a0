"""The card: metadata that Hugging Face's own reader takes, figures of the run, and a snippet that runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from huggingface_hub import ModelCard
from onnx import TensorProto, helper, numpy_helper

from limbeck.report import write_model_card

Write = Callable[..., Path]


def front_matter(card: str) -> dict[str, Any]:
    _, text, _ = card.split("---\n", 2)
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def save_linear_model(path: Path, favourite: int) -> None:
    """An ONNX model with the run's interface whose bias prefers one class."""
    weight = numpy_helper.from_array(np.zeros((64, 10), dtype=np.float32), "weight")
    bias = numpy_helper.from_array(np.eye(10, dtype=np.float32)[favourite], "bias")
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "linear", [image], [logits], [weight, bias])
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)


def test_front_matter_holds_the_values_of_the_shipped_model(run: Path, results: dict[str, Any]) -> None:
    content = front_matter(write_model_card(run).read_text(encoding="utf-8"))
    assert content["pipeline_tag"] == "image-classification"
    assert content["library_name"] == "limbeck"
    assert content["tags"] == ["limbeck", "knowledge-distillation", "onnx"]
    assert "license" not in content
    [entry] = content["model-index"]
    [result] = entry["results"]
    assert entry["name"] == "digits-student"
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"name": "digits", "type": "digits", "split": "test"}
    written = {metric["type"]: metric["value"] for metric in result["metrics"]}
    expected = {name: metric["value"] for name, metric in results["models"]["exported"]["metrics"].items()}
    expected["f1"] = expected.pop("macro_f1")
    assert written == expected


def test_hugging_face_reads_the_card(run: Path, results: dict[str, Any]) -> None:
    card = ModelCard.load(write_model_card(run))
    found = {result.metric_type: result.metric_value for result in card.data.eval_results or []}
    assert card.data.model_name == "digits-student"
    assert found["accuracy"] == results["models"]["exported"]["metrics"]["accuracy"]["value"]


def test_text_holds_figures_with_intervals_and_how_it_was_made(run: Path, results: dict[str, Any]) -> None:
    card = write_model_card(run).read_text(encoding="utf-8")
    values = ("98.7% [97.5, 99.9]", "91.4% [90.2, 92.6]", "98.4% [97.2, 99.6]", "98.5% [97.3, 99.7]")
    assert f"| accuracy (higher is better) | {' | '.join(values)} |" in card
    assert "- student − control, accuracy: +7.0 points [+5.0, +9.0], student is better" in card
    assert "100 training labels" in card
    assert "limbeck run recipe.yaml" in card
    [made] = re.findall(r"```yaml\n(.*?)```", card, re.DOTALL)
    assert yaml.safe_load(made)["objective"]["soft"]["loss"] == {"use": "kl_divergence", "temperature": 2.0}


def test_snippet_runs_on_the_exported_file(run: Path) -> None:
    save_linear_model(run / "export" / "student.onnx", favourite=7)
    [code] = re.findall(r"```python\n(.*?)```", write_model_card(run).read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=run, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['7']"


def test_run_without_control_and_export(tmp_path: Path, results: dict[str, Any], write: Write) -> None:
    for name in ("control", "exported"):
        del results["models"][name]
    results["models"]["student"]["seeds"] = results["models"]["student"]["seeds"][:1]
    results["export"], results["comparisons"], results["seeds"], results["verdict"] = None, [], [0], ""
    card = write_model_card(write(tmp_path / "run", results, [])).read_text(encoding="utf-8")
    content = front_matter(card)
    assert "onnx" not in content["tags"]
    [result] = content["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == results["models"]["student"]["metrics"]["accuracy"]["value"]
    assert "control" not in card.lower()
    assert "```python" not in card
    assert "One seed was trained" in card


def test_unknown_values_stay_out_of_the_metadata(tmp_path: Path, results: dict[str, Any], write: Write) -> None:
    results["models"]["exported"]["metrics"] = {"accuracy": {"value": float("nan"), "low": None, "high": None}}
    card = write_model_card(write(tmp_path / "run", results, [])).read_text(encoding="utf-8")
    assert "model-index" not in front_matter(card)
    assert "nan" not in card


@pytest.mark.parametrize("hostile", ["| a | b", "```\n# title", "<img src=x>", "*bold* [link](x)"])
def test_names_cannot_break_the_text(hostile: str, tmp_path: Path, results: dict[str, Any], write: Write) -> None:
    results["verdict"], results["recipe"] = hostile, hostile
    recipe = f"data: {json.dumps({'use': hostile})}\n"
    card = write_model_card(write(tmp_path / "run", results, [], recipe)).read_text(encoding="utf-8")
    content = front_matter(card)
    assert content["model-index"][0]["results"][0]["dataset"]["name"] == hostile
    text = card.split("---\n", 2)[2]
    outside = re.sub(r"(?m)^(`{3,})\w+\n.*?^\1$", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<img|(?<!\\)\*bold|(?m:^# title)", outside)
    tables = [line for line in outside.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {6}
