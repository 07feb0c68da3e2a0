from __future__ import annotations

import errno
import io
import json
import logging
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError, ExportError
from limbeck.export import OPSET, export_onnx

CLASSES = tuple(f"class {index}" for index in range(5))


def logits_of(path: Path, images: Tensor) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    result: np.ndarray[Any, Any] = session.run(None, {"image": images.numpy()})[0]
    return result


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_one_file_takes_any_batch(exported: tuple[nn.Module, Path], images: Tensor, batch: int) -> None:
    model, path = exported
    mode = model.training
    with torch.no_grad():
        expected = model.eval()(images[:batch]).numpy()
    model.train(mode)
    np.testing.assert_allclose(logits_of(path, images[:batch]), expected, atol=1e-4)


def test_rows_do_not_depend_on_their_batch(exported: tuple[nn.Module, Path], images: Tensor) -> None:
    _, path = exported
    alone = np.concatenate([logits_of(path, image[None]) for image in images[:8]])
    np.testing.assert_allclose(logits_of(path, images[:8]), alone, atol=1e-5)


def test_everything_is_in_the_file(exported: tuple[nn.Module, Path]) -> None:
    model, path = exported
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert not any(onnx.external_data_helper.uses_external_data(value) for value in onnx.load(path).graph.initializer)
    size = path.stat().st_size
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    weights = sum(m.weight.nbytes for m in convolutions)
    assert weights < size < weights + 25_000


def test_the_file_is_valid_and_states_its_names(exported: tuple[nn.Module, Path]) -> None:
    graph = onnx.load(exported[1])
    onnx.checker.check_model(graph, full_check=True)
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", OPSET)]
    session = onnxruntime.InferenceSession(str(exported[1]), providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape) == ("image", "tensor(float)", ["batch", 1, 24, 24])
    assert (given.name, given.type, given.shape) == ("logits", "tensor(float)", ["batch", 5])


def test_metadata_is_read_back_by_onnxruntime_alone(exported: tuple[nn.Module, Path]) -> None:
    session = onnxruntime.InferenceSession(str(exported[1]), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata.pop("classes")) == list(CLASSES)
    assert metadata == {
        "schema": "1",
        "input": "image: float32 [batch, 1, 24, 24], values in 0..1",
        "run": "digits",
        "seed": "0",
    }


def test_the_graph_normalizes_and_has_no_dropout_or_batch_statistics(exported: tuple[nn.Module, Path]) -> None:
    operators = {node.op_type for node in onnx.load(exported[1]).graph.node}
    assert {"Sub", "Div"} <= operators
    assert not operators & {"Dropout", "BatchNormalization"}


def test_no_path_of_this_machine_is_in_the_file(exported: tuple[nn.Module, Path]) -> None:
    content = exported[1].read_bytes()
    assert b".py" not in content
    assert str(Path.cwd()).encode() not in content


def test_the_model_is_left_as_it_is(tmp_path: Path, images: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.LazyLinear(5))
    model(images[:2])
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    export_onnx(
        model,
        tmp_path / "model.onnx",
        example=images,
        outputs={"logits": ("batch",)},
        names={"logits": CLASSES},
        metadata={},
    )
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("torchvision", [True, False])
def test_nothing_is_printed_or_warned(
    tmp_path: Path,
    images: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    torchvision: bool,
) -> None:
    if not torchvision:
        monkeypatch.setitem(sys.modules, "torchvision", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(
            linear(),
            tmp_path / "model.onnx",
            example=images,
            outputs={"logits": ("batch",)},
            names={"logits": CLASSES},
            metadata={},
        )
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_class_names_may_hold_any_character(tmp_path: Path, images: Tensor) -> None:
    classes = ["café", 'say "a"', "猫", "a\nb", ""]
    export_onnx(
        linear(),
        tmp_path / "model.onnx",
        example=images,
        outputs={"logits": ("batch",)},
        names={"logits": classes},
        metadata={"note": "größer"},
    )
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert (json.loads(metadata["classes"]), metadata["note"]) == (classes, "größer")


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(24 * 24, 5))


class FullDisk(io.FileIO):
    def write(self, content: Any) -> NoReturn:
        super().write(content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("fails", ["write", "fsync"])
@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_leaves_no_half_written_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Tensor, there: bool, fails: str
) -> None:
    path = tmp_path / "model.onnx"
    if there:
        path.write_bytes(b"the file before")

    def full(_descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if fails == "write":
        monkeypatch.setattr(Path, "open", lambda self, mode: FullDisk(self, mode))
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match=r"model\.onnx: cannot write \d+ bytes \(No space left on device\)"):
        export_onnx(
            linear(), path, example=images, outputs={"logits": ("batch",)}, names={"logits": CLASSES}, metadata={}
        )
    monkeypatch.undo()
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([b"the file before"] if there else [])


@pytest.mark.parametrize("folder", ["none", "file"])
def test_a_folder_that_is_none_is_told(tmp_path: Path, images: Tensor, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot write"):
        export_onnx(
            linear(),
            tmp_path / folder / "model.onnx",
            example=images,
            outputs={"logits": ("batch",)},
            names={"logits": CLASSES},
            metadata={},
        )


class Branches(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        rows = images.flatten(1)[:, :5]
        return rows if rows.sum() > 0 else -rows


class TwoRows(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.reshape(2, -1)[:, :5]


class PairsOnly(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.reshape(2, 24 * 24)[:, :5]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Branches(), "torch cannot translate Branches"),
        (TwoRows(), "TwoRows works for one batch size only"),
        (PairsOnly(), "PairsOnly works for one batch size only"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line_and_writes_nothing(
    tmp_path: Path, images: Tensor, capfd: pytest.CaptureFixture[str], model: nn.Module, message: str
) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        export_onnx(
            model,
            tmp_path / "model.onnx",
            example=images,
            outputs={"logits": ("batch",)},
            names={"logits": CLASSES},
            metadata={},
        )
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"example": torch.zeros(0, 1, 24, 24)}, "'input' has no rows; give at least one"),
        ({"example": torch.tensor(1.0)}, "'input' has no rows; give at least one"),
        ({"inputs": {"image": "", "mask": ""}}, "example is one tensor, inputs describes"),
        ({"example": {"input": torch.rand(1, 2)}, "inputs": {"inputs": ""}}, "no 'inputs' to describe. Did you mean"),
        ({"names": {"logits": CLASSES[:4]}}, r"'logits' of shape \[2, 5\] for 2 rows; expected shape \[2, 4\]"),
        ({"names": {"logit": CLASSES}}, "names has 'logit'. Did you mean 'logits'"),
        ({"names": {"input": CLASSES}}, "24 entries in its last axis, and there are 5 names"),
        ({"outputs": {}, "names": {}}, "there are no outputs"),
        (
            {"outputs": {"logits": ("batch",), "more": ("batch",)}},
            "gives one tensor; expected a mapping with logits, more",
        ),
        ({"outputs": {"input": ("batch",)}, "names": {}}, "'input' is an input and an output"),
        (
            {"outputs": {"logits": ("batch", "word", "token")}, "names": {}},
            r"expected a tensor of shape \[2, word, token",
        ),
        ({"metadata": {"classes": "[]"}}, "the metadata has 'classes'"),
        ({"metadata": {"names": "{}"}}, "the metadata has 'names'"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, images: Tensor, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        export_onnx(
            linear(),
            tmp_path / "m.onnx",
            **{
                "example": images,
                "outputs": {"logits": ("batch",)},
                "names": {"logits": CLASSES},
                "metadata": {},
                **wrong,
            },
        )


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Tensor) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the export opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    export_onnx(
        linear(),
        tmp_path / "model.onnx",
        example=images,
        outputs={"logits": ("batch",)},
        names={"logits": CLASSES},
        metadata={},
    )
    assert (tmp_path / "model.onnx").is_file()
