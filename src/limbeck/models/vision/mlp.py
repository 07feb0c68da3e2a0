"""Fully connected networks on flattened images."""

from __future__ import annotations

from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.models.checks import check_positive, check_task
from limbeck.registry import register

__all__ = ["MLP"]


def _layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    layer = nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU())
    return layer.append(nn.Dropout(dropout)) if dropout else layer


@register("model", "mlp")
class MLP(nn.Module):
    """``depth`` layers of linear map, rectifier and dropout on the flattened image, and a linear head.

    Taps: ``layers.0``, ``layers.1``, …, ``head``.

    Args:
        channels: of the images.
        classes: number of logits.
        size: height and width of the images in pixels.
        width: units of each hidden layer.
        depth: hidden layers.
        dropout: share of hidden units set to 0 in training, in [0, 1).

    Raises:
        ArgumentError: if a number is below 1, there are fewer than two classes, or dropout is outside [0, 1).

    >>> import torch
    >>> net = MLP(channels=1, classes=10, size=(8, 8), width=32)
    >>> net(torch.zeros(2, 1, 8, 8)).shape, sum(p.numel() for p in net.parameters())
    (torch.Size([2, 10]), 3466)

    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), "Dropout: A Simple Way to Prevent Neural Networks
    from Overfitting", JMLR 15:1929–1958.
    """

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        size: tuple[int, int],
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.0,
    ) -> None:
        check_task("mlp", channels, classes, size)
        check_positive("mlp", width=width, depth=depth)
        if not 0.0 <= dropout < 1.0:
            raise ArgumentError(f"mlp: dropout is {dropout}; expected a share in [0, 1)", path="dropout")
        super().__init__()
        widths = [channels * size[0] * size[1], *[width] * depth]
        self.layers = nn.Sequential(*(_layer(widths[i], widths[i + 1], dropout) for i in range(depth)))
        self.head = nn.Linear(width, classes)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(images.flatten(1)))
        return logits
