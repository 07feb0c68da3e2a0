from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.export import export_onnx
from limbeck.models import MLP, MobileNet, Normalized, ResNet, torchvision_model

CLASSES = tuple(f"class {index}" for index in range(5))
IMAGE = {"image": "values in 0..1"}
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "resnet": lambda **task: ResNet(width=8, **task),
    "mobilenet": lambda **task: MobileNet(width=8, **task),
    "mlp": lambda **task: MLP(width=16, dropout=0.5, **task),
    "torchvision": lambda **task: torchvision_model(name="squeezenet1_1", **task),
}


def build(name: str, channels: int = 1, size: int = 24) -> nn.Module:
    """A model in training mode whose running statistics are those of data."""
    torch.manual_seed(0)
    net = BUILDERS[name](channels=channels, classes=len(CLASSES), size=(size, size))
    model = Normalized(net, [0.4] * channels, [0.3] * channels)
    with torch.no_grad():
        model.train()(torch.rand(32, channels, size, size))
    return model


@pytest.fixture(scope="session")
def images() -> Tensor:
    return torch.rand(130, 1, 24, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session", params=list(BUILDERS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, images: Tensor) -> Any:
    model = build(request.param)
    path = tmp_path_factory.mktemp(request.param) / "student.onnx"
    export_onnx(
        model,
        path,
        example=images[:1],
        inputs=IMAGE,
        outputs={"logits": ("batch",)},
        names={"logits": CLASSES},
        metadata={"run": "digits", "seed": "0"},
    )
    return model, path


@pytest.fixture(scope="session")
def resnet(tmp_path_factory: pytest.TempPathFactory, images: Tensor) -> tuple[nn.Module, Path]:
    model, path = build("resnet"), tmp_path_factory.mktemp("alone") / "student.onnx"
    export_onnx(
        model,
        path,
        example=images[:1],
        inputs=IMAGE,
        outputs={"logits": ("batch",)},
        names={"logits": CLASSES},
        metadata={},
    )
    return model, path
