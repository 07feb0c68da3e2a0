from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from limbeck.errors import ArgumentError, RunError
from limbeck.models import timm_model, torchvision_model

GREY: dict[str, Any] = {"channels": 1, "classes": 10, "size": (32, 32)}
COLOUR: dict[str, Any] = {"channels": 3, "classes": 10, "size": (32, 32)}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a model was fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_torchvision_with_three_channels_is_its_own_model() -> None:
    model = torchvision_model(name="squeezenet1_1", **COLOUR)
    assert type(model) is torchvision.models.SqueezeNet
    assert model.training


def test_torchvision_with_one_channel_sees_it_three_times() -> None:
    torch.manual_seed(0)
    model, images = torchvision_model(name="mobilenet_v3_small", **GREY).eval(), torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(model(images), model.net(torch.cat([images] * 3, dim=1)))


def test_timm_builds_its_first_convolution_for_the_channels() -> None:
    torch.manual_seed(0)
    model = timm_model(name="test_resnet", channels=2, classes=7, size=(32, 32))
    assert model.eval()(torch.rand(2, 2, 32, 32)).shape == (2, 7)


def test_timm_builds_models_of_fixed_size_for_the_images() -> None:
    model = timm_model(name="test_vit", channels=1, classes=10, size=(32, 48))
    assert model.eval()(torch.rand(1, 1, 32, 48)).shape == (1, 10)


@pytest.mark.parametrize("name", ["googlenet", "vit_b_16"])
def test_torchvision_models_with_options_of_their_own(name: str) -> None:
    model = torchvision_model(name=name, **COLOUR)
    logits = model.train()(torch.rand(2, 3, 32, 32))
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (2, 10)


def torchvision_reference() -> nn.Module:
    model: nn.Module = torchvision.models.squeezenet1_1(weights=None, num_classes=10)
    return model


def timm_reference() -> nn.Module:
    model: nn.Module = timm.create_model("test_resnet", num_classes=10, in_chans=1)
    return model


@pytest.mark.parametrize(
    ("build", "name", "reference", "channels"),
    [
        (torchvision_model, "squeezenet1_1", torchvision_reference, 3),
        (timm_model, "test_resnet", timm_reference, 1),
    ],
)
def test_local_weights_of_the_library_fit(
    tmp_path: Path, build: Callable[..., nn.Module], name: str, reference: Callable[[], nn.Module], channels: int
) -> None:
    source, path = reference(), tmp_path / "model.safetensors"
    save_file(source.state_dict(), path)
    model = build(name=name, checkpoint=str(path), channels=1, classes=10, size=(32, 32))
    images = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(model.eval()(images), source.eval()(images.repeat(1, channels, 1, 1)))


@pytest.mark.parametrize(
    ("build", "name", "message"),
    [
        (torchvision_model, "resnet81", "no torchvision model 'resnet81'. Did you mean 'resnet18'"),
        (torchvision_model, "zzzzqq", "no torchvision model 'zzzzqq'. It knows"),
        (torchvision_model, "alexnet", "torchvision's 'alexnet' cannot take images of 8×8"),
        (torchvision_model, "vit_b_16", "torchvision's 'vit_b_16' cannot be built for images of 8×8"),
        (timm_model, "resnet_18", "no timm model 'resnet_18'. Did you mean 'resnet18'"),
        (timm_model, "hf-hub:timm/resnet18", "no timm model 'hf-hub:timm/resnet18'"),
        (timm_model, "convnext_atto", "timm's 'convnext_atto' cannot take images of 8×8"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(build: Callable[..., nn.Module], name: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        build(name=name, channels=1, classes=10, size=(8, 8))
    assert "\n" not in str(caught.value)


def test_torchvision_takes_grey_or_colour_only() -> None:
    with pytest.raises(ArgumentError, match="takes images of 1 or 3 channels, not 2"):
        torchvision_model(name="resnet18", channels=2, classes=10, size=(32, 32))


def test_torchvisions_transformers_take_squares_only() -> None:
    with pytest.raises(ArgumentError, match="takes square images, not 32×48"):
        torchvision_model(name="vit_b_16", channels=3, classes=10, size=(32, 48))


@pytest.mark.parametrize(
    ("build", "package"), [(torchvision_model, "torchvision"), (timm_model, "timm")], ids=["torchvision", "timm"]
)
def test_a_missing_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, build: Callable[..., nn.Module], package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ArgumentError, match=rf'cannot import {package} .*; pip install "limbeck\[vision\]"'):
        build(name="resnet18", **GREY)


@pytest.mark.parametrize("build", [torchvision_model, timm_model])
def test_a_missing_checkpoint_is_told(build: Callable[..., nn.Module], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file"):
        build(name="resnet18", checkpoint=str(tmp_path / "none.pt"), **GREY)
