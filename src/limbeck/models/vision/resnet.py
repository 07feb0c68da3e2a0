"""Residual networks for small images."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.models.checks import check_positive, check_task
from limbeck.models.vision.three_stages import ThreeStages
from limbeck.registry import register

__all__ = ["BasicBlock", "ResNet"]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: relu(shortcut(x) + bn(conv(relu(bn(conv(x)))))).

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the first convolution and of the shortcut.

    >>> import torch
    >>> BasicBlock(4, 8, stride=2)(torch.zeros(1, 4, 8, 8)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + (x if self.shortcut is None else self.shortcut(x)))


@register("model", "resnet", inputs="images")
class ResNet(ThreeStages):
    """A residual network of 6·depth + 2 layers for small images, without a pooling stem.

    A 3×3 stem, three stages of ``depth`` blocks with ``width``, 2 ``width`` and 4 ``width`` channels, the second and
    the third at half the resolution of the one before, the mean over positions, and a linear head. Where the shape
    changes, the shortcut is a 1×1 convolution. Taps: ``stem``, ``stage1``, ``stage2``, ``stage3``, ``head``.

    Args:
        channels: of the images.
        classes: number of logits.
        size: height and width of the images in pixels; any size of at least 1 works.
        width: channels of the first stage.
        depth: blocks per stage.

    Raises:
        ArgumentError: if a number is below 1, or there are fewer than two classes.

    >>> import torch
    >>> net = ResNet(channels=1, classes=10, size=(8, 8), width=8)
    >>> net(torch.zeros(2, 1, 8, 8)).shape, sum(p.numel() for p in net.parameters())
    (torch.Size([2, 10]), 19810)

    He, Zhang, Ren, Sun (2015), "Deep Residual Learning for Image Recognition", arXiv:1512.03385, section 4.2.
    """

    def __init__(self, *, channels: int, classes: int, size: tuple[int, int], width: int = 16, depth: int = 1) -> None:
        check_task("resnet", channels, classes, size)
        check_positive("resnet", width=width, depth=depth)
        super().__init__(BasicBlock, channels=channels, classes=classes, width=width, depth=depth)
