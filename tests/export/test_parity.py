from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError, ExportError
from limbeck.export import Session, check_parity, export_onnx
from refusals import refused


def test_every_architecture_passes_and_stays_in_its_mode(exported: tuple[nn.Module, Path], images: Tensor) -> None:
    model, path = exported
    model.train()
    assert 0 <= check_parity(model, Session(path), images) < 1e-4
    assert all(module.training for module in model.modules())


def test_the_difference_is_that_of_one_pass(resnet: tuple[nn.Module, Path], images: Tensor) -> None:
    session, rows = Session(resnet[1]), images[:5]
    with torch.no_grad():
        expected = copy.deepcopy(resnet[0]).eval()(rows).numpy()
    by_hand = max(np.abs(session(part)["logits"] - expected[: len(part)]).max() for part in (rows, rows[:1]))
    assert check_parity(resnet[0], session, rows) == by_hand


def scale_a_weight(graph: Any) -> None:
    weight = max(graph.graph.initializer, key=lambda value: np.prod(value.dims))
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1.01), weight.name))


def drop_a_rectifier(graph: Any) -> None:
    next(node for node in graph.graph.node if node.op_type == "Relu").op_type = "Identity"


def another_normalization(graph: Any) -> None:
    next(node for node in graph.graph.node if node.op_type == "Sub").op_type = "Add"


@pytest.mark.parametrize("alter", [scale_a_weight, drop_a_rectifier, another_normalization])
def test_an_altered_file_fails(
    resnet: tuple[nn.Module, Path], images: Tensor, tmp_path: Path, alter: Callable[[Any], None]
) -> None:
    graph = onnx.load(resnet[1])
    alter(graph)
    onnx.save(graph, tmp_path / "altered.onnx")
    with pytest.raises(ExportError, match=r"differs from its model by \S+ in row \d+ \(batch of \d+\)"):
        check_parity(resnet[0], Session(tmp_path / "altered.onnx"), images)


def test_other_weights_fail(resnet: tuple[nn.Module, Path], images: Tensor) -> None:
    other = copy.deepcopy(resnet[0])
    with torch.no_grad():
        next(other.parameters())[0] += 0.01
    with refused(ExportError, "mismatch", match="do not ship it"):
        check_parity(other, Session(resnet[1]), images)


class Wrong(nn.Module):
    """Its logits are the pixels, but for one row that is marked by its first pixel."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: Tensor) -> Tensor:
        rows = images.flatten(1)
        return torch.where(rows[:, :1] > 1, torch.full_like(rows, self.value), rows)


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Session:
    path = tmp_path_factory.mktemp("pixels") / "model.onnx"
    export_onnx(
        nn.Flatten(),
        path,
        example=torch.zeros(1, 1, 1, 2),
        outputs={"logits": ("batch",)},
        names={"logits": ["a", "b"]},
        metadata={},
    )
    return Session(path)


def rows() -> Tensor:
    return torch.rand(100, 1, 1, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("value", [3.5, float("nan"), float("inf")])
@pytest.mark.parametrize("marked", [0, 70, 99])
def test_the_wrong_row_is_told(pixels: Session, value: float, marked: int) -> None:
    images = rows()
    images[marked, 0, 0, 0] = 2.0
    with refused(ExportError, "mismatch"):
        check_parity(Wrong(value), pixels, images)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_equal_numbers_that_are_not_finite_fail_too(pixels: Session, value: float) -> None:
    images = rows()
    images[41] = value
    with pytest.raises(ExportError, match="in row 41"):
        check_parity(nn.Flatten(), pixels, images)


class ByBatch(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) * images.shape[0] / 64


def test_a_file_that_is_right_for_full_batches_only_fails(tmp_path: Path) -> None:
    images = rows()[:64]
    export_onnx(
        ByBatch(),
        tmp_path / "model.onnx",
        example=images,
        outputs={"logits": ("batch",)},
        names={"logits": ["a", "b"]},
        metadata={},
    )
    with pytest.raises(ExportError, match=r"in row 0 \(batch of 1\)"):
        check_parity(nn.Flatten(), Session(tmp_path / "model.onnx"), images)


class Offset(nn.Module):
    def __init__(self, relative: float) -> None:
        super().__init__()
        self.relative = relative

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) * (1 + self.relative)


@pytest.mark.parametrize("scale", [0.1, 1.0, 1000.0])
def test_tolerance_is_relative_for_large_logits_and_absolute_for_small(pixels: Session, scale: float) -> None:
    images, allowed = torch.full((3, 1, 1, 2), scale), 1e-3 * max(1.0, 1 / scale)
    check_parity(Offset(0.9 * allowed), pixels, images, tolerance=1e-3)
    with pytest.raises(ExportError, match="is allowed"):
        check_parity(Offset(1.1 * allowed), pixels, images, tolerance=1e-3)


def test_impossible_arguments_are_refused(resnet: tuple[nn.Module, Path], images: Tensor) -> None:
    session = Session(resnet[1])
    with refused(ArgumentError, "missing", "rows"):
        check_parity(resnet[0], session, images[:0])
    with refused(ArgumentError, "out_of_range", "tolerance"):
        check_parity(resnet[0], session, images, tolerance=0)
