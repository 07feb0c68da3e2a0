"""Files with weights in 8 bits: what is quantized, how near they stay, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from limbeck.errors import ExportError
from limbeck.export import Session, export_onnx, quantize_int8
from limbeck.models import BiLSTM, TextCNN, small_bert

KINDS = {
    "bert": (small_bert, {"width": 64, "neurons": 128}, ("MatMulInteger",)),
    "bilstm": (BiLSTM, {"embedding": 64, "width": 64}, ("DynamicQuantizeLSTM", "MatMulInteger")),
    "textcnn": (TextCNN, {"embedding": 64, "filters": 16}, ("MatMulInteger", "Conv")),
}


def tokens(rows: int, length: int) -> dict[str, Tensor]:
    ids = torch.randint(1, 2000, (rows, length), generator=torch.Generator().manual_seed(rows))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_stay_near_and_the_file_is_small(kind: str, tmp_path: Path) -> None:
    build, sizes, operators = KINDS[kind]
    torch.manual_seed(0)
    model = build(classes=3, vocabulary=2000, **sizes)
    with torch.no_grad():
        # Differences that could be seen.
        [one for one in model.modules() if isinstance(one, nn.Linear)][-1].weight.mul_(20)
    whole, small = tmp_path / "whole.onnx", tmp_path / "small.onnx"
    export_onnx(
        model,
        whole,
        example=tokens(2, 9),
        outputs={"logits": ("batch",)},
        names={"logits": list("abc")},
        metadata={"x": "y"},
        axes=("batch", "length"),
    )
    quantize_int8(whole, small)
    assert small.stat().st_size < 0.45 * whole.stat().st_size
    assert set(operators) <= {node.op_type for node in onnx.load(small).graph.node}
    ours, theirs = Session(small), Session(whole)
    assert {name: ours.metadata[name] for name in theirs.metadata} == theirs.metadata
    for rows, length in ((1, 1), (7, 30)):
        batch = tokens(rows, length)
        a, b = (torch.from_numpy(session(batch)["logits"]).softmax(1).numpy() for session in (ours, theirs))
        assert 0 < np.abs(a - b).max() < 0.05


def test_a_graph_without_products_of_weights_is_refused(tmp_path: Path) -> None:
    export_onnx(
        nn.Flatten(),
        tmp_path / "flat.onnx",
        example=torch.ones(1, 1, 1, 2),
        outputs={"logits": ("batch",)},
        names={"logits": ["a", "b"]},
        metadata={},
    )
    with pytest.raises(ExportError, match=r"neither a matrix product with weights nor an LSTM; leave int8 out"):
        quantize_int8(tmp_path / "flat.onnx", tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()
