"""GELUs of exported files: one operator in onnxruntime, and the numbers of PyTorch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from limbeck.export import export_onnx
from limbeck.export.gelu import with_fusible_gelu
from limbeck.models import small_bert


def operators(path: Path) -> Counter[str]:
    """What onnxruntime computes, with all that it fuses."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".fused.onnx"))
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def test_a_transformer_has_one_operator_for_each_gelu(tmp_path: Path) -> None:
    ids = torch.ones(2, 5, dtype=torch.int64)
    file = tmp_path / "student.onnx"
    axes, model = ("batch", "length"), small_bert(classes=2, vocabulary=50, layers=3)
    export_onnx(
        model,
        file,
        example={"input_ids": ids},
        outputs={"logits": ("batch",)},
        names={"logits": ["a", "b"]},
        metadata={},
        axes=axes,
    )
    graph = onnx.load(file)
    assert {entry.domain for entry in graph.opset_import} == {""}
    assert Counter(node.op_type for node in graph.graph.node)["Erf"] == 3
    computed = operators(file)
    assert (computed["Gelu"] + computed["BiasGelu"], computed["Erf"]) == (3, 0)


@pytest.mark.parametrize("form", ["none", "tanh"])
def test_numbers_are_those_of_torch(form: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.GELU(form))
    images = torch.linspace(-12, 12, 2000).reshape(2, 1, 10, 100)
    names = [str(number) for number in range(1000)]
    export_onnx(
        model,
        tmp_path / "model.onnx",
        example=images,
        inputs={"image": "values in 0..1"},
        outputs={"logits": ("batch",)},
        names={"logits": names},
        metadata={},
    )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": images.numpy()})[0]
    np.testing.assert_allclose(found, model(images.double()).numpy(), atol=1e-6)


def test_a_product_that_is_no_gelu_stays(tmp_path: Path) -> None:
    class Halved(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            rows = images.flatten(1)
            return rows * (0.5 * (rows.erf() + 1))

    images = torch.rand(2, 1, 1, 2)
    export_onnx(
        Halved(),
        tmp_path / "model.onnx",
        example=images,
        inputs={"image": "values in 0..1"},
        outputs={"logits": ("batch",)},
        names={"logits": ["a", "b"]},
        metadata={},
    )
    assert operators(tmp_path / "model.onnx")["Erf"] == 1


def test_the_graph_that_is_given_is_left_as_it_is(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.GELU())
    export_onnx(
        model,
        tmp_path / "model.onnx",
        example=torch.rand(2, 1, 1, 2),
        outputs={"logits": ("batch",)},
        names={"logits": ["a", "b"]},
        metadata={},
    )
    graph = onnx.load(tmp_path / "model.onnx")
    before = graph.SerializeToString()
    assert len(with_fusible_gelu(graph).graph.node) == len(graph.graph.node)
    assert graph.SerializeToString() == before
