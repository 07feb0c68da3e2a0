from __future__ import annotations

import math

import pytest
import torch
from torchvision.models.resnet import BasicBlock as Reference

from limbeck.errors import ArgumentError
from limbeck.models.vision.resnet import BasicBlock, ResNet


def parameters(channels: int, classes: int, width: int, depth: int) -> int:
    """The count by hand: convolutions without bias, two numbers per normalized channel."""

    def convolution(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + 2 * outputs

    total = convolution(channels, width, 3)
    for stage, outputs in enumerate((width, 2 * width, 4 * width)):
        inputs = outputs if stage == 0 else outputs // 2
        total += convolution(inputs, outputs, 3) + (2 * depth - 1) * convolution(outputs, outputs, 3)
        total += convolution(inputs, outputs, 1) if stage else 0
    return total + (4 * width + 1) * classes


@pytest.mark.parametrize(("width", "depth"), [(8, 1), (16, 1), (5, 2), (16, 3)])
def test_parameter_count(width: int, depth: int) -> None:
    net = ResNet(channels=3, classes=7, size=(8, 8), width=width, depth=depth)
    assert sum(p.numel() for p in net.parameters()) == parameters(3, 7, width, depth)


def test_depth_counts_weighted_layers_as_the_paper_does() -> None:
    net = ResNet(channels=3, classes=10, size=(32, 32), depth=3)
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    shortcuts = [m for m in layers if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (1, 1)]
    assert len(layers) - len(shortcuts) == 20


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 8, 2), (4, 8, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_block_computes_what_torchvisions_does(inputs: int, outputs: int, stride: int, training: bool) -> None:
    torch.manual_seed(0)
    block = BasicBlock(inputs, outputs, stride=stride)
    reference = Reference(inputs, outputs, stride, downsample=block.shortcut)
    weights = {name: value for name, value in block.state_dict().items() if not name.startswith("shortcut")}
    reference.load_state_dict(weights, strict=False)
    images = torch.randn(3, inputs, 7, 7)
    torch.testing.assert_close(block.train(training)(images), reference.train(training)(images))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (28, 28), (9, 13)])
def test_stages_halve_the_resolution_and_double_the_width(size: tuple[int, int]) -> None:
    net = ResNet(channels=1, classes=10, size=size, width=4).eval()
    features = net.stem(torch.rand(2, 1, *size))
    for stage, name in enumerate(("stage1", "stage2", "stage3")):
        features = getattr(net, name)(features)
        assert features.shape == (2, 4 * 2**stage, *(math.ceil(length / 2**stage) for length in size))
    assert net(torch.rand(2, 1, *size)).shape == (2, 10)


def test_convolutions_start_with_the_variance_of_he() -> None:
    torch.manual_seed(0)
    net = ResNet(channels=1, classes=10, size=(8, 8), width=64)
    weight = net.stage2[0].conv2.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.02)


def test_no_activation_is_overwritten_after_a_tap_has_seen_it() -> None:
    torch.manual_seed(0)
    net, seen = ResNet(channels=1, classes=10, size=(8, 8), width=4), []
    for module in net.modules():
        module.register_forward_hook(lambda _module, _inputs, output: seen.append((output, output.detach().clone())))
    net(torch.rand(4, 1, 8, 8))
    assert all(torch.equal(output, copy) for output, copy in seen)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, "resnet: width is 0"),
        ({"depth": -1}, "resnet: depth is -1"),
        ({"channels": 0}, "resnet: channels is 0"),
        ({"size": (8, 0)}, "resnet: image width is 0"),
        ({"classes": 0}, "resnet: classes is 0"),
    ],
)
def test_impossible_numbers_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ResNet(**{"channels": 1, "classes": 10, "size": (8, 8)} | wrong)
