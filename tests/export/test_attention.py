"""Attention of exported files: products and a softmax, and the numbers of PyTorch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest

from core.encoders import KINDS, encoder, encoder_inputs
from limbeck.export import Session, check_parity, export_onnx


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "vit"])
def test_rows_with_padding_have_the_numbers_of_torch(kind: str, tmp_path: Path) -> None:
    model, inputs, file = encoder(kind), encoder_inputs(kind), tmp_path / "model.onnx"
    classes = [str(number) for number in range(model.config.num_labels)]
    axes = ("batch", "length")
    export_onnx(
        model, file, example=inputs, outputs={"logits": ("batch",)}, names={"logits": classes}, metadata={}, axes=axes
    )
    assert model.config._attn_implementation == "sdpa"
    assert inputs["attention_mask"].min() == 0
    assert check_parity(model, Session(file), [inputs]) < 1e-4
    found = Counter(node.op_type for node in onnx.load(file).graph.node)
    # One for each layer, and none that looks for tokens without any other.
    assert (found["Softmax"], found["IsNaN"]) == (2, 0)
