"""Two models: one for images, and one for tables with any number of outputs."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.registry import register


@register("model", "one_layer")
class OneLayer(nn.Module):
    """A linear layer on pixels.

    Args:
        channels: of the images.
        classes: number of logits.
        size: height and width.
        scale: multiplies the logits.
    """

    def __init__(self, *, channels: int, classes: int, size: tuple[int, int], scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.layer = nn.Linear(channels * size[0] * size[1], classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.scale * self.layer(images.flatten(1))
        return logits
