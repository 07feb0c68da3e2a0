"""The frame of the convolutional networks for small images."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

__all__ = ["ThreeStages"]


class ThreeStages(nn.Module):
    """A 3×3 stem, three stages, the mean over positions, and a linear head.

    The stages have ``width``, 2 ``width`` and 4 ``width`` channels; the second and the third have half the resolution
    of the one before.

    Args:
        block: makes a block from the channels that come in, those that go out, and a stride.
        channels: of the images.
        classes: number of logits.
        width: channels of the first stage.
        depth: blocks per stage.
    """

    def __init__(
        self, block: Callable[[int, int, int], nn.Module], *, channels: int, classes: int, width: int, depth: int
    ) -> None:
        super().__init__()
        convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.stem = nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
        self.stage1 = _stage(block, width, width, depth, stride=1)
        self.stage2 = _stage(block, width, 2 * width, depth, stride=2)
        self.stage3 = _stage(block, 2 * width, 4 * width, depth, stride=2)
        self.head = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features = self.stage3(self.stage2(self.stage1(self.stem(images))))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def _stage(
    block: Callable[[int, int, int], nn.Module], inputs: int, outputs: int, depth: int, *, stride: int
) -> nn.Sequential:
    first = block(inputs, outputs, stride)
    return nn.Sequential(first, *(block(outputs, outputs, 1) for _ in range(depth - 1)))
