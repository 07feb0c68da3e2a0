from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.errors import ArgumentError, ExportError
from limbeck.export import Session, export_onnx
from limbeck.export.session import TensorInfo, slower_fusions
from limbeck.models import small_bert
from refusals import refused


def test_arrays_of_every_precision_and_layout_give_the_same(resnet: tuple[nn.Module, Path], images: Tensor) -> None:
    session = Session(resnet[1])
    rows = images[:3].numpy()
    logits = session(rows)["logits"]
    assert (logits.shape, logits.dtype) == ((3, 5), np.float32)
    np.testing.assert_array_equal(logits, session({"image": rows})["logits"])
    np.testing.assert_array_equal(logits, session(rows.astype(np.float64))["logits"])
    np.testing.assert_array_equal(logits, session(np.asfortranarray(rows))["logits"])
    np.testing.assert_array_equal(logits, session(rows.tolist())["logits"])


def test_it_knows_its_names_inputs_and_outputs(resnet: tuple[nn.Module, Path]) -> None:
    session = Session(str(resnet[1]))
    assert session.names == {"logits": tuple(f"class {index}" for index in range(5))}
    assert session.inputs == {"image": TensorInfo("image", ("batch", 1, 24, 24), np.dtype(np.float32))}
    assert session.outputs == {"logits": TensorInfo("logits", ("batch", 5), np.dtype(np.float32))}
    assert session.main == "logits"
    assert session.metadata["schema"] == "1"


def test_threads_are_those_of_the_caller_and_one_by_default(resnet: tuple[nn.Module, Path]) -> None:
    assert Session(resnet[1]).threads == 1
    assert Session(resnet[1], threads=3).threads == 3
    with pytest.raises(ArgumentError, match="threads is 0"):
        Session(resnet[1], threads=0)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 1, 24, 23)), np.zeros((1, 24, 24)), np.zeros((2, 1, 24, 24), dtype=np.uint8)]
)
def test_other_images_are_refused(resnet: tuple[nn.Module, Path], wrong: NDArray[Any]) -> None:
    with refused(ArgumentError, "wrong_shape", "image"):
        Session(resnet[1])(wrong)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_corrupt_file_is_named(
    resnet: tuple[nn.Module, Path], tmp_path: Path, kept: float, capfd: pytest.CaptureFixture[str]
) -> None:
    content = resnet[1].read_bytes()
    path = tmp_path / "half.onnx"
    path.write_bytes(content[: int(kept * len(content))])
    with refused(ExportError, "unreadable", path, match=r"half\.onnx: onnxruntime cannot load it"):
        Session(path)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with refused(ExportError, "not_found", tmp_path / "none.onnx"):
        Session(tmp_path / "none.onnx")


def test_a_file_of_another_program_is_refused(resnet: tuple[nn.Module, Path], tmp_path: Path) -> None:
    graph = onnx.load(resnet[1])
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "bare.onnx")
    with refused(
        ExportError,
        "changed",
        tmp_path / "bare.onnx",
        match=r"bare\.onnx: there is no metadata entry 'schema'; export it with limbeck",
    ):
        Session(tmp_path / "bare.onnx")


def test_the_name_of_the_fusion_that_is_left_out_is_onnxruntimes(tmp_path: Path) -> None:
    model, file = small_bert(classes=2, vocabulary=50), tmp_path / "student.onnx"
    ids = torch.ones(2, 5, dtype=torch.int64)
    export_onnx(
        model,
        file,
        example={"input_ids": ids},
        outputs={"logits": ("batch",)},
        names={"logits": ["a", "b"]},
        metadata={},
        axes=("batch", "length"),
    )
    counts = []
    for left_out in ([], slower_fusions):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "fused.onnx"), 4
        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"], disabled_optimizers=left_out)
        nodes = onnx.load(tmp_path / "fused.onnx").graph.node
        counts.append(sum(node.op_type == "SkipLayerNormalization" for node in nodes))
    assert counts[0] > 0 == counts[1]
