from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError, ExportError
from limbeck.export import Session, export_onnx
from limbeck.export.session import slower_fusions
from limbeck.students import small_bert


def test_arrays_and_tensors_give_the_same(resnet: tuple[nn.Module, Path], images: Tensor) -> None:
    session = Session(resnet[1])
    logits = session(images[:3])
    assert (logits.shape, logits.dtype) == ((3, 5), np.float32)
    np.testing.assert_array_equal(logits, session(images[:3].numpy()))
    np.testing.assert_array_equal(logits, session(images[:3].double()))
    np.testing.assert_array_equal(logits, session(images[:3].clone().requires_grad_()))
    np.testing.assert_array_equal(logits, session(images[:3].to(memory_format=torch.channels_last)))


def test_it_knows_its_classes_and_its_image(resnet: tuple[nn.Module, Path]) -> None:
    session = Session(str(resnet[1]))
    assert session.classes == tuple(f"class {index}" for index in range(5))
    assert session.inputs["image"].shape[1:] == (1, 24, 24)
    assert session.metadata["schema"] == "1"


def test_threads_are_those_of_torch_by_default(resnet: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert Session(resnet[1]).threads == 3
    assert Session(resnet[1], threads=1).threads == 1
    with pytest.raises(ArgumentError, match="threads is 0"):
        Session(resnet[1], threads=0)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(2, 1, 24, 23), torch.zeros(1, 24, 24), torch.zeros(2, 1, 24, 24, dtype=torch.uint8)]
)
def test_other_images_are_refused(resnet: tuple[nn.Module, Path], wrong: Tensor) -> None:
    with pytest.raises(ArgumentError, match=r"expected floating numbers in 0..1 of shape \['B', 1, 24, 24\]"):
        Session(resnet[1])(wrong)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_corrupt_file_is_named(
    resnet: tuple[nn.Module, Path], tmp_path: Path, kept: float, capfd: pytest.CaptureFixture[str]
) -> None:
    content = resnet[1].read_bytes()
    path = tmp_path / "half.onnx"
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ExportError, match=r"half\.onnx: onnxruntime cannot load it") as caught:
        Session(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"none\.onnx: no such file"):
        Session(tmp_path / "none.onnx")


def test_a_file_without_class_names_is_refused(resnet: tuple[nn.Module, Path], tmp_path: Path) -> None:
    graph = onnx.load(resnet[1])
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "bare.onnx")
    with pytest.raises(ExportError, match=r"bare\.onnx: expected one output 'logits' and the metadata entry 'classes'"):
        Session(tmp_path / "bare.onnx")


def test_the_name_of_the_fusion_that_is_left_out_is_onnxruntimes(tmp_path: Path) -> None:
    model, file = small_bert(classes=2, vocabulary=50), tmp_path / "student.onnx"
    ids = torch.ones(2, 5, dtype=torch.int64)
    export_onnx(model, file, example={"input_ids": ids}, classes=["a", "b"], metadata={}, axes=("batch", "length"))
    counts = []
    for left_out in ([], slower_fusions):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "fused.onnx"), 4
        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"], disabled_optimizers=left_out)
        nodes = onnx.load(tmp_path / "fused.onnx").graph.node
        counts.append(sum(node.op_type == "SkipLayerNormalization" for node in nodes))
    assert counts[0] > 0 == counts[1]
