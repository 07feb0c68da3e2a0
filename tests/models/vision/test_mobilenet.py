from __future__ import annotations

import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.models import MobileNet


def parameters(channels: int, classes: int, width: int, depth: int) -> int:
    """The count by hand: 9 numbers per channel, then a matrix, each with two numbers per normalized channel."""

    def separable(inputs: int, outputs: int) -> int:
        return 9 * inputs + 2 * inputs + inputs * outputs + 2 * outputs

    total = 9 * channels * width + 2 * width
    for stage, outputs in enumerate((width, 2 * width, 4 * width)):
        inputs = outputs if stage == 0 else outputs // 2
        total += separable(inputs, outputs) + (depth - 1) * separable(outputs, outputs)
    return total + (4 * width + 1) * classes


@pytest.mark.parametrize(("width", "depth"), [(8, 1), (32, 2), (5, 3)])
def test_parameter_count(width: int, depth: int) -> None:
    net = MobileNet(channels=3, classes=7, size=(8, 8), width=width, depth=depth)
    assert sum(p.numel() for p in net.parameters()) == parameters(3, 7, width, depth)


def test_the_spatial_convolution_mixes_no_channels() -> None:
    torch.manual_seed(0)
    depthwise = MobileNet(channels=1, classes=10, size=(8, 8), width=4).stage1[0][0]
    images = torch.rand(1, 4, 8, 8)
    changed = images.clone()
    changed[:, 2] += 1
    moved = (depthwise(changed) - depthwise(images)).abs().amax((0, 2, 3))
    assert (moved > 1e-6).tolist() == [False, False, True, False]


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (28, 28), (9, 13)])
def test_any_image_size_works(size: tuple[int, int]) -> None:
    net = MobileNet(channels=3, classes=5, size=size, width=8, depth=1).eval()
    assert net(torch.rand(2, 3, *size)).shape == (2, 5)


def test_taps_have_the_names_of_the_resnet() -> None:
    net = MobileNet(channels=1, classes=10, size=(8, 8))
    assert [name for name, _ in net.named_children()] == ["stem", "stage1", "stage2", "stage3", "head"]


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ArgumentError, match="mobilenet: depth is 0"):
        MobileNet(channels=1, classes=10, size=(8, 8), depth=0)
