"""Models of torchvision, by name, with local weights only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.models.checkpoint import load_weights
from limbeck.models.checks import check_task
from limbeck.models.optional_deps import check_forward, check_name, import_library
from limbeck.registry import register

__all__ = ["GreyToColour", "torchvision_model"]


class GreyToColour(nn.Module):
    """One channel [B, 1, H, W], seen as three equal ones [B, 3, H, W].

    >>> import torch
    >>> GreyToColour()(torch.zeros(2, 1, 4, 4)).shape
    torch.Size([2, 3, 4, 4])
    """

    def forward(self, images: Tensor) -> Tensor:
        return images.expand(-1, 3, -1, -1)


@register("model", "torchvision", inputs="images")
def torchvision_model(
    *, channels: int, classes: int, size: tuple[int, int], name: str, checkpoint: str | None = None
) -> nn.Module:
    """An image classifier of torchvision, with random weights or those of a local file. Nothing is downloaded.

    For images of three channels it is torchvision's own model. For one channel it is a sequence of ``grey``, which
    repeats the channel, and ``net``, torchvision's model; its taps then start with ``net.``.

    Args:
        channels: of the images, 1 or 3.
        classes: number of logits.
        size: height and width of the images in pixels.
        name: as in ``torchvision.models.list_models(module=torchvision.models)``.
        checkpoint: a file for :func:`limbeck.models.load_weights`, with the names of torchvision's model.

    Returns:
        A module from images [B, C, H, W] to logits [B, classes].

    Raises:
        ArgumentError: if torchvision is missing, the name is unknown, or the model cannot take such images.
        RunError: if the checkpoint is missing or does not fit.

    >>> net = torchvision_model(channels=1, classes=10, size=(32, 32), name="squeezenet1_1")
    >>> [part for part, _ in net.named_children()]
    ['grey', 'net']
    """
    label = f"torchvision's {name!r}"
    check_task(label, channels, classes, size)
    if channels not in (1, 3):
        raise ArgumentError(
            f"{label} takes images of 1 or 3 channels, not {channels}; use timm, resnet or mobilenet",
            code="unsupported",
            path="name",
        )
    net = _build(label, name, classes, size)
    model = net if channels == 3 else nn.Sequential(OrderedDict(grey=GreyToColour(), net=net))
    check_forward(label, model, channels, classes, size)
    if checkpoint is not None:
        load_weights(net, checkpoint)
    return model


def _build(label: str, name: str, classes: int, size: tuple[int, int]) -> nn.Module:
    models = import_library("torchvision").models
    check_name("torchvision", name, models.list_models(module=models))
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # with auxiliary heads they return a tuple in training
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        if size[0] != size[1]:
            raise ArgumentError(
                f"{label} takes square images, not {size[0]}×{size[1]}; crop or pad them",
                code="unsupported",
                path="name",
            )
        options = {"image_size": size[0]}
    try:
        net: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ArgumentError(
            f"{label} cannot be built for images of {size[0]}×{size[1]}: {error}", code="unsupported", path="name"
        ) from error
    return net
