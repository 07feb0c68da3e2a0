"""Networks of depthwise separable convolutions for small images."""

from __future__ import annotations

from torch import nn

from limbeck.models.checks import check_positive, check_task
from limbeck.models.vision.three_stages import ThreeStages
from limbeck.registry import register

__all__ = ["MobileNet"]


def _separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


@register("model", "mobilenet", inputs="images")
class MobileNet(ThreeStages):
    """A network of depthwise 3×3 and pointwise 1×1 convolutions for small images, without a strided stem.

    A 3×3 stem, three stages of ``depth`` separable convolutions with ``width``, 2 ``width`` and 4 ``width`` channels,
    the second and the third at half the resolution of the one before, the mean over positions, and a linear head.
    Taps: ``stem``, ``stage1``, ``stage2``, ``stage3``, ``head``.

    Args:
        channels: of the images.
        classes: number of logits.
        size: height and width of the images in pixels; any size of at least 1 works.
        width: channels of the first stage.
        depth: separable convolutions per stage.

    Raises:
        ArgumentError: if a number is below 1, or there are fewer than two classes.

    >>> import torch
    >>> net = MobileNet(channels=1, classes=10, size=(8, 8))
    >>> net(torch.zeros(2, 1, 8, 8)).shape, sum(p.numel() for p in net.parameters())
    (torch.Size([2, 10]), 39178)

    Howard et al. (2017), "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    arXiv:1704.04861.
    """

    def __init__(self, *, channels: int, classes: int, size: tuple[int, int], width: int = 32, depth: int = 2) -> None:
        check_task("mobilenet", channels, classes, size)
        check_positive("mobilenet", width=width, depth=depth)
        super().__init__(_separable, channels=channels, classes=classes, width=width, depth=depth)
